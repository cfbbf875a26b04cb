"""The process and its listener: `opening` what the settings name, `server` with `listening` below
it and `tls`, who is behind a proxy (`proxying`, `arriving`), and what is set once (`process`,
`timekeeping`)."""
