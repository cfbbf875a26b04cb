"""Text of others, the one way that each kind of it is read: `encodings`, `numerals`, `networks`,
`mailboxes`, `headers` of mails, `fields` of HTTP's headers, a `form`'s values, `small_files`; how
hard a key is to guess (`strength`), and what may go to a terminal (`printable`)."""
