"""`postbell health`: whether the service of these settings is well, for who keeps it running."""

import http.client
import ssl

import click
import msgspec

from postbell.cli.options import SettingsCommand, with_settings
from postbell.errors import ServiceError, UsageError
from postbell.settings.members import Settings
from postbell.settings.values import Address, read_address

TIMEOUT_S = 8.0
ANSWER_BYTES = 4096
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # asked, not listened on


@click.command("health", cls=SettingsCommand)
@click.option("--ready", is_flag=True, help="Ask whether events can be taken in, too.")
@click.option("--worker", is_flag=True, help="Ask a worker, which answers on metrics_listen.")
@with_settings("service")
def command(settings: Settings, ready: bool, worker: bool) -> None:
    """Ask the service on this machine whether it is well.

    Exit status 1, with the reason, where it does not answer or is not. For a container's health
    check, or a supervisor without a client of HTTP. With --ready it also warns of settings of the
    database's server by which what is acknowledged outlives less than is promised.
    """
    if worker and (ready or not settings.metrics_listen):
        raise UsageError("a worker takes nothing in; it answers on metrics_listen, which it needs")
    if worker:
        at, has_tls = read_address(settings.metrics_listen), False
    else:
        at, has_tls = settings.listen, bool(settings.tls_cert_file)
    told = _asked(at, "/readyz" if ready else "/healthz", has_tls=has_tls)
    click.echo(told.get("status", "ok"))
    if warning := told.get("warning"):
        click.echo(f"warning: {warning}")


def _asked(at: Address, path: str, *, has_tls: bool) -> dict[str, str]:
    """Return what the service tells; raise ServiceError where it is not well."""
    at = at._replace(host=ANYWHERE.get(at.host, at.host))
    connection: http.client.HTTPConnection
    if has_tls:  # of its own, for a name that is not this machine's
        context = ssl._create_unverified_context()  # noqa: S323
        connection = http.client.HTTPSConnection(
            at.host, at.port, timeout=TIMEOUT_S, context=context
        )
    else:
        connection = http.client.HTTPConnection(at.host, at.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path, headers={"connection": "close"})
        answer = connection.getresponse()
        told = msgspec.json.decode(answer.read(ANSWER_BYTES), type=dict[str, str])
    except (OSError, http.client.HTTPException, msgspec.DecodeError) as error:
        raise ServiceError(f"no service answers on {at}: {error}") from None
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise ServiceError(f"{told.get('status', answer.status)}: {told.get('reason', '')}")
    return told
