"""Every setting, once: `members` has their types, defaults and help, `limits` those of a peer,
`values` how they are read."""
