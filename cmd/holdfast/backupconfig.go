package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"holdfast/adapters/odata"
	"holdfast/adapters/wire"
	"holdfast/internal/backup"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// BackupConfig says where copies of the plant go, who can open them, and how often one is made.
type BackupConfig struct {
	Places     []BackupPlaceConfig `yaml:"places"`
	Recipients []string            `yaml:"recipients"` // age1… keys, or file:PATH to one; at least two
	Identity   string              `yaml:"identity"`   // reference to the key with which copies are proven
	Every      time.Duration       `yaml:"every"`      // 0: only by holdfast backup create
	Ship       time.Duration       `yaml:"ship"`       // between two increments that follow a copy; 0: none
	Behind     time.Duration       `yaml:"behind"`     // age of the recovery point that is an alarm; default ten times ship, or ten minutes
	Verify     time.Duration       `yaml:"verify"`     // default as often as every
	Alarm      time.Duration       `yaml:"alarm"`      // age of the newest proven copy; default twice every
	Keep       BackupKeepConfig    `yaml:"keep"`
	Work       string              `yaml:"work"` // folder in which copies are put together
}

// BackupPlaceConfig is a folder of this machine, of another one that is reached by SFTP, or of a bucket of a store that speaks S3.
type BackupPlaceConfig struct {
	Folder  string `yaml:"folder"`
	SFTP    string `yaml:"sftp"`     // host:port
	S3      string `yaml:"s3"`       // https://host:port
	User    string `yaml:"user"`     // for s3 the access key's ID
	Key     string `yaml:"key"`      // reference to the private key, for s3 to the access key's secret
	HostKey string `yaml:"host_key"` // the machine's, "ssh-ed25519 AAAA…"

	Bucket    string `yaml:"bucket"`
	Region    string `yaml:"region"`     // default us-east-1
	PathStyle bool   `yaml:"path_style"` // https://host/bucket even where a store has a host for each
	CA        string `yaml:"ca"`         // instead of the system's

	Timeout time.Duration `yaml:"timeout"` // how long it may be silent; default 30s
	// Remote says of a folder that it does not go with the machine, as a share of another. A place behind sftp or s3 never does.
	Remote bool `yaml:"remote"`
}

// remote tells whether what is in the place outlives the machine.
func (p BackupPlaceConfig) remote() bool { return p.SFTP != "" || p.S3 != "" || p.Remote }

// remote tells which of the places do, which are in the configuration's order.
func (b BackupConfig) remote(places []backup.Place) func(p backup.Place) bool {
	far := map[string]bool{}
	for i, p := range places {
		far[p.String()] = b.Places[i].remote()
	}
	return func(p backup.Place) bool { return far[p.String()] }
}

// BackupKeepConfig says which copies stay.
type BackupKeepConfig struct {
	Count int `yaml:"count"`
	Days  int `yaml:"days"`
}

func (c Config) checkBackup(k *checker) {
	b := c.Backup
	if b == nil {
		return
	}
	if len(b.Places) == 0 {
		k.wrong("backup.places", "there are none", "write - folder: backups, and one on another machine")
	}
	for i, p := range b.Places {
		p.check(k, fmt.Sprintf("backup.places[%d]", i))
	}
	if len(b.Recipients) < 2 {
		k.wrong("backup.recipients", "there are fewer than two", "name the site's key and a recovery key that lies in a safe: age1…, or file:PATH")
	}
	if b.Identity != "" && !strings.HasPrefix(b.Identity, "credential:") {
		checkReference(k, "backup.identity", b.Identity)
	}
	if b.Every != 0 && b.Every < time.Minute {
		k.wrong("backup.every", "it is less than a minute", "write 24h")
	}
	if b.Ship != 0 && (b.Every == 0 || b.Ship < time.Second || b.Ship > b.Every) {
		k.wrong("backup.ship", "it is less than a second, or backup.every is not longer", "write 30s, and every: 24h")
	}
	if b.Behind != 0 && b.Behind < b.Ship {
		k.wrong("backup.behind", "it is less than backup.ship, so that it would always be an alarm", "write 1m")
	}
	if b.Every != 0 && b.Identity == "" {
		k.wrong("backup.identity", "it is missing, so that no copy could be proven", "name the site's key: file:backup-keys/site.key")
	}
}

func (p BackupPlaceConfig) check(k *checker, at string) {
	if p.Folder == "" && p.S3 == "" {
		k.wrong(at+".folder", "it is missing", "name the folder")
	}
	if p.SFTP != "" && p.S3 != "" {
		k.wrong(at+".s3", "the place has sftp as well", "make two places of it")
	}
	far := p.SFTP != "" || p.S3 != ""
	if p.Timeout < 0 || p.Timeout > 0 && !far {
		k.wrong(at+".timeout", "it is below zero, or the place is a folder, which is the operating system's to time", "write 30s beside sftp or s3; mount a share so that it fails (soft)")
	}
	if p.SFTP != "" && (p.User == "" || p.HostKey == "") {
		k.wrong(at+".host_key", "user or host_key is missing", "write both; ssh-keyscan prints the machine's key")
	}
	if p.S3 != "" && (p.User == "" || p.Bucket == "") {
		k.wrong(at+".bucket", "user or bucket is missing", "write the bucket, and as user the ID of an access key")
	}
	if p.S3 == "" && (p.Bucket != "" || p.Region != "" || p.PathStyle || p.CA != "") {
		k.wrong(at+".s3", "bucket, region, path_style or ca stands there without it", "write s3: https://host:port beside it")
	}
	if far {
		checkReference(k, at+".key", p.Key)
	}
}

// backups is the part of a configuration that says where copies go.
func (c Config) backups() (*BackupConfig, error) {
	if c.Backup == nil {
		return nil, &problem.Error{
			Kind: problem.NotFound, What: "find the backups", Why: c.file + " has no part backup", Hint: "write backup: with places and recipients; docs/backup.md has an example",
		}
	}
	return c.Backup, nil
}

func (c Config) backupPlaces(ctx context.Context) ([]backup.Place, error) {
	b, err := c.backups()
	if err != nil {
		return nil, err
	}
	var all []backup.Place
	for _, p := range b.Places {
		if p.SFTP == "" && p.S3 == "" {
			all = append(all, c.folderPlace(c.beside(p.Folder)))
			continue
		}
		key, err := c.secret(ctx, p.Key)
		if err != nil {
			return nil, err
		}
		far, err := c.farPlace(p, key)
		if err != nil {
			return nil, err
		}
		all = append(all, backup.Timed(far, cmp.Or(p.Timeout, 30*time.Second)))
	}
	return all, nil
}

// folderPlace is one of this machine: made by itself directly in the plant's own folder alone, where it is no mount point.
func (c Config) folderPlace(folder string) backup.Place {
	return backup.Marked(backup.Folder(folder), func() bool {
		_, err := os.Stat(folder)
		return errors.Is(err, fs.ErrNotExist) && filepath.Dir(filepath.Clean(folder)) == filepath.Clean(c.dir())
	})
}

// farPlace is on another machine.
func (c Config) farPlace(p BackupPlaceConfig, key string) (backup.Place, error) {
	if p.SFTP != "" {
		s := &backup.SFTP{Address: p.SFTP, User: p.User, Folder: p.Folder, PrivateKey: []byte(key + "\n"), HostKey: p.HostKey}
		return backup.Marked(s, nil), s.Check()
	}
	trust, err := wire.TLS(c.beside(p.CA), "", "", "")
	if err != nil {
		return nil, &problem.Error{Kind: problem.Invalid, What: "read backup.places.ca, " + c.beside(p.CA), Why: why(err), Hint: "name the file with the certificate, in PEM, of the authority that vouches for the store"}
	}
	return backup.NewS3(backup.S3Config{
		URL: p.S3, Bucket: p.Bucket, Folder: p.Folder, Region: p.Region, PathStyle: p.PathStyle, User: p.User, Key: key, TLS: trust,
	})
}

// backupRecipients reads them; a file holds one key a line, and comments.
func (c Config) backupRecipients(ctx context.Context) ([]backup.Recipient, error) {
	var from []backup.Listed
	var errs []error
	for i, r := range c.Backup.Recipients {
		name, isFile := strings.CutPrefix(r, "file:")
		if !isFile {
			from = append(from, backup.Listed{Where: fmt.Sprintf("backup.recipients[%d] of %s", i, c.file), Text: r})
			continue
		}
		text, err := c.secret(ctx, r)
		if p, ok := errors.AsType[*problem.Error](err); ok { // its hint is for secrets, and this is none
			err = &problem.Error{Kind: p.Kind, What: "read the recipients of backups in " + c.beside(name), Why: p.Why, Hint: "put the public key back there (age-keygen -y prints it of the secret one), and let the user that runs holdfast read it"}
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		from = append(from, backup.Listed{Where: c.beside(name), Text: text})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return backup.Recipients(from)
}

// backupKey is what opens copies: a file that a command names, or the site's own.
func (c Config) backupKey(ctx context.Context, file string) (backup.Key, error) {
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return backup.Key{}, &problem.Error{Kind: problem.NotFound, What: "read the key " + file, Why: why(err), Hint: "give the file of the site's key, or of the recovery key"}
		}
		return backup.ParseKey(filepath.Base(file), string(text))
	}
	b, err := c.backups()
	if err != nil {
		return backup.Key{}, err
	}
	if b.Identity == "" {
		return backup.Key{}, &problem.Error{Kind: problem.Invalid, What: "find the key that opens copies", Why: "backup.identity is not set", Hint: "give it by --identity FILE"}
	}
	text, err := c.secret(ctx, b.Identity)
	if err != nil {
		return backup.Key{}, err
	}
	return backup.ParseKey(filepath.Base(b.Identity), text)
}

// backupFiles is what is copied besides the database: what a plant needs to start again, where it stands beside the configuration, sealed as it
// is. Secrets that references name are not in it, save for the keyring's own.
func (c Config) backupFiles() map[string]string {
	files := map[string]string{filepath.Base(c.file): c.file}
	c.addFolder(files, c.Mappings, "mappings")
	if c.Keys.Kind != "" {
		c.addFolder(files, c.Keys.Folder, "keys")
	}
	if c.Audit.Checkpoints != "" {
		c.addFolder(files, c.Audit.Checkpoints, "audit")
	}
	for _, path := range c.singleFiles() {
		if name, ok := c.below(path); ok {
			files[name] = path
		}
	}
	return unnested(files)
}

// singleFiles are those that the plant reads and that go into a copy where they lie below the configuration's folder: the keyring's passphrase, the public keys of those whom copies
// are for, without which the plant that is restored could make none, what links read, and the certificates by which anybody is believed.
func (c Config) singleFiles() (all []string) {
	for _, reference := range append([]string{c.Keys.Passphrase}, c.Backup.Recipients...) {
		if name, ok := strings.CutPrefix(reference, "file:"); ok {
			all = append(all, c.beside(name))
		}
	}
	for _, l := range c.Links {
		all = append(all, l.publicFiles()...)
	}
	eachText(reflect.ValueOf(c), "", func(key, path string) {
		if last := key[strings.LastIndexByte(key, '.')+1:]; last == "ca" || last == "client_ca" {
			all = append(all, c.beside(path))
		}
	})
	return slices.DeleteFunc(all, func(path string) bool { return !filepath.IsAbs(path) })
}

// elsewhere tells what the configuration names outside its own folder: of each folder that is in a copy all the same, under which usual name, and which files are in none, in the order of their names.
func (c Config) elsewhere() (folders map[string]string, files []string) {
	folders = map[string]string{}
	for name, path := range c.backupFiles() {
		if _, ok := c.below(path); !ok {
			folders[path] = name
		}
	}
	for _, path := range c.singleFiles() {
		if _, ok := c.below(path); !ok && !inOne(folders, path) {
			files = append(files, path)
		}
	}
	slices.Sort(files)
	return folders, slices.Compact(files)
}

// inOne tells whether a file goes with a folder that is copied as a whole.
func inOne(folders map[string]string, path string) bool {
	for folder := range folders {
		if rest, err := filepath.Rel(folder, path); err == nil && filepath.IsLocal(rest) {
			return true
		}
	}
	return false
}

// tellElsewhere says of a copy that is made where what lies outside the configuration's folder is in it, and what is not.
func (c Config) tellElsewhere(w io.Writer) {
	folders, files := c.elsewhere()
	for _, path := range slices.Sorted(maps.Keys(folders)) {
		if _, err := os.Stat(path); err == nil {
			fmt.Fprintf(w, "holdfast: %s lies outside %s, and is in the copy as %s\n", path, c.dir(), folders[path])
		}
	}
	if len(files) > 0 {
		fmt.Fprintf(w, "holdfast: WARNING: not in the copy, since they lie outside %s: %s; keep them with the recovery key, or put them beside the configuration\n", c.dir(), strings.Join(files, ", "))
	}
}

// lacking says what a plant that was restored needs besides, and whether it is on this machine; "" if nothing.
func (c Config) lacking() string {
	_, files := c.elsewhere()
	for i, path := range files {
		if _, err := os.Stat(path); err != nil {
			files[i] += " (MISSING here)"
		}
	}
	if len(files) == 0 {
		return ""
	}
	return "in no copy, since they lie outside the plant's folder, and needed: " + strings.Join(files, ", ") + "\n"
}

// namesOf are those under which a folder is copied.
func namesOf(files map[string]string, folder string) (names []string) {
	for name, at := range files {
		if at == folder && folder != "" {
			names = append(names, name)
		}
	}
	return names
}

// below is the name of what lies below the configuration's folder, with slashes. It is false for all else, and for names that copies have for themselves.
func (c Config) below(path string) (name string, is bool) {
	name, err := filepath.Rel(c.dir(), path)
	if err != nil || !filepath.IsLocal(name) || backup.Reserved(name) {
		return "", false
	}
	return filepath.ToSlash(name), true
}

// addFolder copies a folder under the name by which the configuration reaches it, so that a plant that is restored finds it there; one that lies elsewhere under the
// usual name.
func (c Config) addFolder(files map[string]string, folder, usual string) {
	name, ok := c.below(folder)
	for !ok || files[name] != "" && files[name] != folder {
		name, usual, ok = usual, usual+"-elsewhere", true
	}
	files[name] = folder
}

// unnested leaves out what goes with a folder that is copied as a whole.
func unnested(files map[string]string) map[string]string {
	for name, at := range files {
		for above := path.Dir(name); above != "."; above = path.Dir(above) {
			if folder, ok := files[above]; ok && filepath.Join(folder, strings.TrimPrefix(name, above)) == at {
				delete(files, name)
				break
			}
		}
	}
	return files
}

// publicFiles are those that a link reads and that are no secret: contracts, and the keys by which others are known.
func (l LinkConfig) publicFiles() []string {
	files := []string{l.EncryptTo, l.Verify.Receipts, l.REST.Spec, l.IDoc.Descriptions}
	for _, s := range l.Verify.Senders {
		files = append(files, s.Keys)
	}
	for _, services := range []map[string]odata.Service{l.OData.Services, l.SAP.Services} {
		for _, s := range services {
			files = append(files, s.Metadata)
		}
	}
	return files
}

// backupSource is the plant as it is copied.
func (c Config) backupSource(db *store.DB) backup.Source {
	file, _ := c.below(strings.TrimPrefix(c.Database.URL, "sqlite:"))
	files := c.backupFiles()
	return backup.Source{
		Config: filepath.Base(c.file), File: file, DB: db, Origin: c.auditOrigin(), Plant: c.Plant.Source, Node: c.node(), Program: version(), Files: files,
		Once: namesOf(files, c.Audit.Checkpoints), Work: c.backupWork(),
	}
}

// backupWork is the folder in which copies are put together.
func (c Config) backupWork() string { return cmp.Or(c.Backup.Work, filepath.Dir(c.file)) }

// backupLog is the folder in it of what increments follow, and of what places still lack of them.
const backupLog = "backup-log"

// The files that init and demo make for backups.
const (
	backupKeys  = "backup-keys"
	siteKey     = "site"
	recoveryKey = "recovery"
)

// makeBackupKeys makes the two keys that open copies, where they are not there yet. A public half alone is one whose private half lies in a safe,
// as it should: another pair in its place would make copies that the key in the safe does not open.
func (c Config) makeBackupKeys() error {
	if c.Backup == nil {
		return nil
	}
	dir := c.beside(backupKeys)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return &problem.Error{Kind: problem.Unavailable, What: "make " + dir, Why: why(err), Hint: "choose a folder that this user may write to"}
	}
	for _, name := range []string{siteKey, recoveryKey} {
		if err := makeBackupKey(filepath.Join(dir, name)); err != nil {
			return &problem.Error{Kind: problem.Unavailable, What: "write " + filepath.Join(dir, name) + ".key", Why: why(err), Hint: "choose a folder that this user may write to"}
		}
	}
	return nil
}

// makeBackupKey makes one pair, the private half first: whoever is stopped in between has what the public half is made of.
func makeBackupKey(path string) error {
	if _, err := os.Stat(path + ".pub"); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	secret, err := os.ReadFile(path + ".key")
	if errors.Is(err, fs.ErrNotExist) {
		var made string
		if made, err = backup.NewKey(); err == nil {
			secret = []byte(made + "\n")
			err = os.WriteFile(path+".key", secret, 0o600)
		}
	}
	if err != nil {
		return err
	}
	public, err := backup.PublicKey(strings.TrimSpace(string(secret)))
	if err != nil {
		return err
	}
	return os.WriteFile(path+".pub", []byte(public+"\n"), 0o600)
}
