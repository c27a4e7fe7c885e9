# What the one-use secret ID of a node buys: its first login certificate and nothing else.
path "holdfast-pki/sign/@ROLE@-login" {
  capabilities = ["update"]
}
