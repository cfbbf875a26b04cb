"""HTTP going out: `urls` are parsed and `guard`ed, names resolved (`resolver`), `slots` say who may
open a connection, `sender` makes one request and one outcome of it, on libcurl (`curl`)."""
