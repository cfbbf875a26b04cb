"""What the API says of itself: the document and the page, for everybody, loading nothing."""

import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser

import msgspec
import pytest

from postbell.api import asked
from postbell.api.openapi import document
from postbell.api.operations import PREFIX
from postbell.api.table import OPERATIONS
from postbell.desk.forms import CHANGE_MEMBERS, CREATE_MEMBERS
from postbell.desk.replays import REPLAY_MEMBERS
from postbell.records import Policy
from tests.api.service import Service, running

DOCS, OPENAPI = PREFIX + "/docs", PREFIX + "/openapi.json"


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as service:
        yield service


class Tags(HTMLParser):
    """Notes tags, attributes and whether every tag is closed in its turn."""

    VOID = frozenset(("meta", "br"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.is_nested = True

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.is_nested &= self.open.pop() == tag


async def test_the_document_is_open_to_all_and_kept_by_its_tag(service: Service) -> None:
    first = await service.call("GET", OPENAPI, user=None)
    again = await service.call(
        "GET", OPENAPI, user=None, headers={"if-none-match": first.headers["etag"]}
    )

    assert (first.status_code, first.json()) == (200, msgspec.json.decode(MADE))
    assert first.json()["openapi"] == "3.1.0"
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", [DOCS, OPENAPI])
async def test_it_is_compressed_and_has_a_head(service: Service, path: str) -> None:
    get = await service.call("GET", path, user=None)
    plain = await service.call("GET", path, user=None, headers={"accept-encoding": "identity"})
    head = await service.call("HEAD", path, user=None)
    options = await service.call("OPTIONS", path, user=None)
    post = await service.call("POST", path, user=None)

    assert get.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert get.content == plain.content
    assert get.headers["etag"] != plain.headers["etag"]
    assert (head.content, head.headers["content-length"]) == (b"", get.headers["content-length"])
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert post.status_code == 405


async def test_the_page_loads_nothing_and_runs_nothing(service: Service) -> None:
    response = await service.call("GET", DOCS, user=None)

    tags = Tags()
    tags.feed(response.text)
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert {tag for tag, _ in tags.seen} & {"script", "link", "img", "iframe", "object"} == set()
    assert not any("src" in attrs or "style" in attrs for _, attrs in tags.seen)
    assert re.search(r"https?://", response.text) is None
    assert (tags.open, tags.is_nested) == ([], True)


async def test_the_page_tells_every_operation_and_its_links_lead_somewhere(
    service: Service,
) -> None:
    text = (await service.call("GET", DOCS, user=None)).text

    tags = Tags()
    tags.feed(text)
    ids = {attrs["id"] for _, attrs in tags.seen if "id" in attrs}
    links = {str(attrs["href"]) for tag, attrs in tags.seen if tag == "a"}
    assert {link[1:] for link in links if link.startswith("#")} <= ids
    assert links - {f"#{name}" for name in ids} == {"openapi.json"}
    for operation in OPERATIONS:
        assert f'<span class="method">{operation.method}</span> <code>{operation.path}<' in text


def test_operations_have_names_of_their_own() -> None:
    names = [
        operation["operationId"]
        for methods in document()["paths"].values()
        for operation in methods.values()
    ]

    assert len(set(names)) == len(names) == len(OPERATIONS)


@pytest.mark.parametrize(
    ("form", "members"),
    [
        (asked.NewWebhook, CREATE_MEMBERS),
        (asked.WebhookChange, CHANGE_MEMBERS),
        (asked.NewReplay, REPLAY_MEMBERS),
        (asked.PolicyForm, Policy.__struct_fields__),
    ],
)
def test_the_described_forms_have_the_members_that_are_checked(
    form: type[msgspec.Struct], members: tuple[str, ...]
) -> None:
    assert set(form.__struct_fields__) == set(members)


MADE = msgspec.json.encode(document())
