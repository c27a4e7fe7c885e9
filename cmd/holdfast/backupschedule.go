package main

import (
	"context"
	"errors"

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
	return &backup.Schedule{
		Every: b.Every, Verify: b.Verify, Alarm: b.Alarm, Keep: backup.Keep{Count: b.Keep.Count, Days: b.Keep.Days}, Places: places, Now: p.db.Now,
		Trust: func(ctx context.Context) (backup.Trust, error) { return p.cfg.backupTrust(ctx, p.db) },
		Make: func(ctx context.Context, to []backup.Place) error {
			var by backup.Signer
			if p.ring != nil {
				by = p.ring
			}
			m, err := p.cfg.createBackup(ctx, p.db, by, to, nil)
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
		Raise: func(ctx context.Context, why string) error {
			return p.db.InTx(ctx, func(tx *store.Tx) error {
				return p.alerts.Raise(ctx, tx, "backup-not-proven", "backup/newest", errors.New(why))
			})
		},
		Metrics: p.tel.registry, Log: p.log,
	}, nil
}
