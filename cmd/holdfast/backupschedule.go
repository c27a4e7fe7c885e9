package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/backup"
	"holdfast/internal/store"
)

// backups makes and proves copies while the plant runs, as the configuration says.
func (p *process) backups(ctx context.Context) (*backup.Schedule, error) {
	b := p.cfg.Backup
	if b == nil || b.Every == 0 {
		return &backup.Schedule{}, nil
	}
	places, err := p.cfg.backupPlaces(ctx)
	if err != nil {
		return nil, err
	}
	actor := "node:" + p.cfg.node()
	record := func(ctx context.Context, action, id string, outcome map[string]any) error {
		return recordBackup(ctx, p.db, audit.Entry{Actor: actor, Action: action, Object: "backup/" + id}, outcome)
	}
	var shipped *backup.Log
	anchor := briefly(p.cfg.anchoring(p.anchor, backup.ForIncrement, p.log))
	if b.Ship > 0 {
		if shipped, err = backup.OpenLog(filepath.Join(p.cfg.backupWork(), backupLog)); err != nil {
			return nil, err
		}
	}
	return &backup.Schedule{
		Ship: b.Ship, Behind: b.Behind, Log: shipped, Turn: p.db.Turn("backup"), Shipped: func(ctx context.Context) (time.Time, error) { return p.ship(ctx, shipped, anchor, places) },
		Every: b.Every, Verify: b.Verify, Alarm: b.Alarm, Keep: backup.Keep{Count: b.Keep.Count, Days: b.Keep.Days}, Places: places, Remote: b.remote(places), Now: p.db.Now,
		Trust: func(ctx context.Context) (backup.Trust, error) { return p.cfg.backupTrust(ctx, p.db) },
		Make: func(ctx context.Context, to []backup.Place) error {
			var follow *backup.Log
			if shipped != nil { // a copy for one place that lacked it does not end what the others follow
				if base, made := shipped.Base(); base == "" || len(to) == len(places) || p.db.Now().Sub(made) >= b.Every {
					follow = shipped
				}
			}
			m, err := p.cfg.createBackup(ctx, p.db, p.signsBackups(), p.cfg.anchoring(p.anchor, backup.ForManifest, p.log), to, follow, nil, nil)
			if m.ID == "" {
				return err
			}
			return errors.Join(err, record(ctx, access.BackupCreate, m.ID, map[string]any{"places": len(to)}))
		},
		Prove: func(ctx context.Context, at backup.Place) error {
			_, err := p.cfg.verifyBackup(ctx, p.db, "", actor, chosen{place: at.String()})
			return err
		},
		Pruned: func(ctx context.Context, at backup.Place, ids []string) error {
			for _, id := range ids {
				if err := record(ctx, access.BackupPrune, id, map[string]any{"place": at.String()}); err != nil {
					return err
				}
			}
			return nil
		},
		Raise: p.alarmsOf("backup-not-proven"), Late: p.alarmsOf("backup-behind"),
		Failing: func(ctx context.Context, at backup.Place, why string) error {
			return p.alarm(ctx, "backup-place", "backup/"+at.String(), why)
		},
		Metrics: p.tel.registry, Logger: p.log,
	}, nil
}

// alarmsOf raises an alert of that kind about backups.
func (p *process) alarmsOf(kind string) func(ctx context.Context, why string) error {
	return func(ctx context.Context, why string) error { return p.alarm(ctx, kind, "backup/newest", why) }
}

func (p *process) alarm(ctx context.Context, kind, object, why string) error {
	return p.db.InTx(ctx, func(tx *store.Tx) error { return p.alerts.Raise(ctx, tx, kind, object, errors.New(why)) })
}

// signsBackups is the node's key, if the plant has any.
func (p *process) signsBackups() backup.Signer {
	if p.ring == nil {
		return nil
	}
	return p.ring
}

// ship makes an increment of the log and puts it into the places.
func (p *process) ship(ctx context.Context, log *backup.Log, anchor anchoring, to []backup.Place) (time.Time, error) {
	o := backup.Options{Places: to, Signer: p.signsBackups(), Anchor: anchor}
	var err error
	if o.Recipients, err = p.cfg.backupRecipients(ctx); err != nil {
		return time.Time{}, err
	}
	return log.Ship(ctx, p.cfg.backupSource(p.db), o)
}
