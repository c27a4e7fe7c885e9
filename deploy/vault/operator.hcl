# What somebody needs who revokes keys of Holdfast's nodes (holdfast keys revoke, with a token of their own).
path "holdfast-pki/revoke" {
  capabilities = ["update"]
}
path "holdfast-pki/cert/*" {
  capabilities = ["read"]
}
