"""Bounces, complaints, answers and unsubscribes that come as mails.

`mime` takes a mail apart, `dsn` and `arf` read reports, `guessing` what has none, `reading` says
what a mail tells of, `taking` makes it durable; `listener` is the source `mail`, over `smtp`,
`maildir` the source of that name.
"""
