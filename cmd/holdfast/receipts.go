package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"holdfast/adapters/sap"
	"holdfast/internal/problem"
)

// receiver is a link whose ERP can be asked whether it books receipts of goods itself, with a confirmation.
type receiver interface {
	ControlKeys(ctx context.Context) ([]sap.ControlKey, error)
	Automatic() (keys []string, told bool)
}

// received is the kind of a message that says what went into stock.
const received = "goods.received"

// receives tells whether a route takes receipts of goods to a link.
func (c Config) receives(link string) bool {
	return slices.ContainsFunc(c.Routes, func(r RouteConfig) bool { return r.Link == link && r.takes(received) })
}

// examineReceipts tells where the ERP books receipts itself that the plant sends too, each of which would be booked twice. checked tells that
// the link answers as it should: else it has been told already that it cannot be asked.
func examineReceipts(ctx context.Context, cfg Config, name string, l link, checked bool) (out []finding) {
	ask, ok := l.(receiver)
	if !ok {
		return unaskable(cfg, name)
	}
	var by []string // the links that send receipts to this system
	for _, other := range slices.Sorted(maps.Keys(cfg.Links)) {
		r := cfg.Links[other].IDoc.ReadBack
		if cfg.receives(other) && (other == name || r != nil && r.Link == name) {
			by = append(by, other)
		}
	}
	if len(by) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	keys, err := ask.ControlKeys(ctx)
	if err != nil && !checked {
		return nil
	}
	for _, sender := range by {
		named, told := ask.Automatic()
		if sender != name {
			named, told, keys = nil, false, unnamed(keys)
		}
		out = append(out, judgeReceipts(sender, sender == name, keys, err, told, told && len(named) == 0)...)
	}
	return out
}

// unaskable is what is told of a link by IDocs that nobody can be asked for.
func unaskable(cfg Config, name string) []finding {
	if l := cfg.Links[name]; l.Kind != "sap-idoc" || l.IDoc.ReadBack != nil || !cfg.receives(name) {
		return nil
	}
	return []finding{{
		Subject: "link " + name, State: look,
		Says: "it sends receipts (101), and IDocs cannot ask whether SAP books them itself with a confirmation: such a receipt would be booked twice",
		Do: "look in transaction OPK4: where a control key of your orders has automatic goods receipt, leave " + received + " out of this link's route;\n" +
			"      with read_back, a link of kind sap to the same system, holdfast doctor asks SAP",
	}}
}

// unnamed are keys as they are for a link by IDocs, which knows no automatic_receipt.
func unnamed(keys []sap.ControlKey) []sap.ControlKey {
	out := slices.Clone(keys)
	for i := range out {
		out[i].Named = false
	}
	return out
}

// judgeReceipts holds what an ERP does against what a link sends it. told is that somebody has said which receipts the ERP books itself,
// none that it was said to be none; own, that the link can keep back what need not be sent.
func judgeReceipts(name string, own bool, keys []sap.ControlKey, err error, told, none bool) (out []finding) {
	subject := "link " + name
	var free, dark []string
	for _, k := range keys {
		switch {
		case k.Automatic && !k.Named:
			out = append(out, doubled(subject, own, k, none))
		case k.Known && !k.Automatic && k.Named:
			out = append(out, finding{
				Subject: subject, State: look, Says: fmt.Sprintf("automatic_receipt keeps back the receipts of orders with control key %s, and %s: nobody may book them", k.Key, k.Says),
				Do: "look in transaction OPK4 whether the key has automatic goods receipt; if not, take it out of automatic_receipt",
			})
		case k.Known && !k.Automatic:
			free = append(free, k.Key)
		case !k.Known && !told:
			dark = append(dark, "control key "+k.Key+": "+k.Says)
		}
	}
	if len(free) > 0 {
		out = append(out, finding{Subject: subject, State: isOK, Says: "SAP books no receipts itself for orders with control key " + strings.Join(free, ", ")})
	}
	if err != nil {
		dark = append(dark, err.Error())
	} else if len(keys) == 0 && !told {
		dark = append(dark, "it has no released order of the plant")
	}
	if len(dark) > 0 {
		out = append(out, finding{
			Subject: subject, State: look, Says: "whether SAP books receipts itself, which the plant would then book twice, is not known: " + strings.Join(dark, "; "),
			Do: "look in transaction OPK4 which control keys have automatic goods receipt, and name them in automatic_receipt; [] if there are none",
		})
	}
	return out
}

// doubled is what is told of receipts that both would book. Who has said that there are none may have a mapping that has SAP book none.
func doubled(subject string, own bool, k sap.ControlKey, none bool) finding {
	f := finding{
		Subject: subject, State: isBad, kind: problem.Conflict,
		Says: fmt.Sprintf("receipts of orders with control key %s would be booked twice: %s, and the plant sends %s", k.Key, k.Says, received),
		Do:   fmt.Sprintf("add %s to automatic_receipt of this link; or have the mapping of confirmations set APIConfHasNoGoodsMovements, and write automatic_receipt: []", k.Key),
	}
	if !own {
		f.Do = "leave " + received + " out of this link's route"
	}
	if none {
		f.State = look
		f.Do = "nothing, if the mapping of confirmations sets APIConfHasNoGoodsMovements; else add " + k.Key + " to automatic_receipt"
	}
	return f
}

// offersOfKeys are the control keys of an ERP's orders as an exploration lists them.
func offersOfKeys(ctx context.Context, l explorer) []offer {
	ask, ok := l.(receiver)
	if !ok {
		return nil
	}
	keys, err := ask.ControlKeys(ctx)
	if err != nil {
		return []offer{{Name: sap.Orders, Kind: "control keys", Does: "cannot be asked", Label: err.Error()}}
	}
	var out []offer
	for _, k := range keys {
		o := offer{Name: k.Key, Kind: "control key", Does: "receipt: not known whether SAP books it itself", Label: k.Says}
		switch {
		case k.Automatic:
			o.Does = "receipt: booked by SAP itself with a confirmation"
		case k.Known:
			o.Does = "receipt: not booked by SAP itself"
		}
		if k.Named {
			o.Does += "; in automatic_receipt"
		}
		out = append(out, o)
	}
	return out
}
