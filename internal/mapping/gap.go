package mapping

// gap is a kind of message that a shipped folder has no mapping for, because the other side has no place for it.
type gap struct{ why, instead string }

// gaps are by folder and kind. docs/mapping-guide.md tells them too; a test holds the two against each other.
func gaps() map[string]map[string]gap {
	const services = "route it to a link of kind sap (mapping sap-out); order is kept for each link, and numbers are passed on from one link to the other"
	begun := "leave it out of the route: the ERP knows by the first operation.confirmed"
	return map[string]map[string]gap{
		"erp-out": {"order.started": {"openapi/erp.yaml has no operation that begins an order", begun}},
		"sap-out": {"order.started": {"SAP has no service that begins an order: its status follows from the first confirmation", begun}},
		"sap-idoc-out": {
			"order.created":         {"SAP takes no IDoc that makes a production order: LOIPRO only leaves SAP", services},
			"order.started":         {"SAP takes no IDoc that begins an order: its status follows from the first time ticket", begun},
			"order.completed":       {"SAP takes no IDoc that completes an order technically", services},
			"confirmation.reversed": {"SAP takes no IDoc that takes a confirmation back: PP-PDC has none, and the BAPI that cancels is called by RFC", services + "; read_back brings the confirmation's number"},
			"inspection.recorded":   {"SAP takes no IDoc with results of an inspection: QM's interface (QM-IDI) is called by RFC", services},
		},
	}
}

// NoTarget says why a shipped folder has no mapping for a kind of message, and what is done instead; "" where it has one, or is none of ours.
func NoTarget(folder, kind string) (why, instead string) {
	g := gaps()[folder][kind]
	return g.why, g.instead
}
