package main

import (
	"context"
	"fmt"

	"holdfast/internal/mes"
	"holdfast/internal/store"
)

// maxConflicts bounds what status and doctor list.
const maxConflicts = 100

// plantStatus is what a person must look at among the plant's own objects.
type plantStatus struct {
	Conflicts []numberConflict `json:"number_conflicts"` // maxConflicts at most
}

// numberConflict is an order or a lot for which the ERP has sent a number that does not fit.
type numberConflict struct {
	mes.Conflicted
	URL string `json:"url"` // where serve tells of it, with the notes that say why
}

func plantStatusOf(ctx context.Context, tx *store.Tx, cfg Config) (plantStatus, error) {
	list, err := mes.New(nil, mes.Config{}).Conflicts(ctx, tx, maxConflicts)
	s := plantStatus{Conflicts: make([]numberConflict, 0, len(list))}
	for _, c := range list {
		s.Conflicts = append(s.Conflicts, numberConflict{c, fmt.Sprintf("http://%s/v1/%ss/%s", cfg.API.Listen, c.Sort, c.ID)})
	}
	return s, err
}

func (c numberConflict) says() string {
	return fmt.Sprintf("%s %s: the ERP has sent a number that does not fit", c.Sort, c.Number)
}

func (c numberConflict) do() string {
	return fmt.Sprintf("its notes say why and what to do: curl %s – then: holdfast conflict dismiss %s %s --reason …", c.URL, c.Sort, c.ID)
}

// examineConflicts tells of numbers that do not fit, in a database whose schema is up to date.
func examineConflicts(ctx context.Context, cfg Config, db *store.DB) []finding {
	var s plantStatus
	err := db.View(ctx, func(tx *store.Tx) (err error) {
		s, err = plantStatusOf(ctx, tx, cfg)
		return err
	})
	if err != nil {
		return bad("numbers of the ERP", err)
	}
	out := make([]finding, 0, len(s.Conflicts))
	for _, c := range s.Conflicts {
		out = append(out, finding{Subject: "numbers of the ERP", State: look, Says: c.says(), Do: c.do()})
	}
	return out
}
