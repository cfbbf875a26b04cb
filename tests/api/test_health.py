"""/healthz and /readyz."""

from typing import Any

from postbell.errors import Overloaded, StorageError
from postbell.ports import WeakSetting
from tests.api.service import running


class Failing:
    """An engine whose readiness a test sets; counts how often it is asked."""

    def __init__(self) -> None:
        self.trouble = ""
        self.asked = 0

    async def ready(self) -> None:
        self.asked += 1
        if self.trouble:
            raise StorageError(self.trouble)

    async def weak_settings(self) -> list[WeakSetting]:
        return []


async def readiness(service: Any) -> tuple[int, dict[str, str]]:
    response = await service.call("GET", "/readyz", user=None)
    return response.status_code, response.json()


async def test_a_live_process_is_healthy() -> None:
    async with running() as service:
        response = await service.call("GET", "/healthz", user=None)

        assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_ready_once_ingest_can_commit() -> None:
    async with running() as service:
        assert await readiness(service) == (200, {"status": "ready"})


async def test_what_makes_less_durable_is_a_warning_of_who_is_ready() -> None:
    async with running() as service:
        service.engine.weak.append(WeakSetting("fsync", "a loss of power can lose everything"))

        status, body = await readiness(service)

    assert (status, body["status"]) == (200, "ready")
    assert body["warning"] == "fsync is off on the server: a loss of power can lose everything"


async def test_not_ready_before_ingest_is() -> None:
    async with running() as service:
        service.ingest.is_ready = False

        status, body = await readiness(service)

        assert (status, body["status"]) == (503, "unavailable")


async def test_the_engine_is_asked_at_most_once_a_second() -> None:
    engine = Failing()
    async with running(app={"engine": engine}) as service:
        await readiness(service)
        engine.trouble = "the disk is full"
        cached = await readiness(service)
        service.clock.advance(1)
        fresh = await readiness(service)

        assert cached[0] == 200
        assert fresh == (503, {"status": "unavailable", "reason": "the disk is full"})
        assert engine.asked == 2


async def test_a_writer_with_a_full_queue_is_not_ready() -> None:
    class Full:
        async def ready(self) -> None:
            raise Overloaded("too many writes wait for the disk; come back in a second")

    async with running(app={"engine": Full()}) as service:
        status, body = await readiness(service)

    assert (status, body["status"]) == (503, "unavailable")
    assert "too many writes" in body["reason"]


async def test_whose_request_a_proxy_passed_on_is_not_told_whether_it_is_ready() -> None:
    async with running() as service:
        ready = await service.call(
            "GET", "/readyz", user=None, headers={"x-forwarded-for": "203.0.113.7"}
        )
        healthy = await service.call("GET", "/healthz", user=None, headers={"via": "1.1 proxy"})

        assert ready.status_code == 404
        assert healthy.status_code == 200
