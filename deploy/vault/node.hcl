# What one node of Holdfast may do at Vault. deploy/vault/setup puts the node's role in place of @ROLE@.
path "holdfast-pki/sign/@ROLE@" {
  capabilities = ["update"]
}
path "holdfast-pki/sign/@ROLE@-login" {
  capabilities = ["update"]
}
path "holdfast-pki/cert/*" {
  capabilities = ["read"]
}
path "holdfast-pki/issuers" {
  capabilities = ["list"]
}
path "holdfast-pki/issuer/*" {
  capabilities = ["read"]
}
path "holdfast-transit/sign/anchor" {
  capabilities = ["update"]
}
path "holdfast-transit/keys/anchor" {
  capabilities = ["read"]
}
path "holdfast-transit/datakey/plaintext/rest" {
  capabilities = ["update"]
}
path "holdfast-transit/decrypt/rest" {
  capabilities = ["update"]
}
path "holdfast-transit/rewrap/rest" {
  capabilities = ["update"]
}
path "holdfast-kv/data/@ROLE@/*" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
