"""Background work: transcoding, thumbnails, and the steps from a video's upload to its catalog record."""

from __future__ import annotations

from typing import Final

from deploy.traffic.catalog import Video
from deploy.traffic.events import CATALOG, MINUTE_MS, Actor, Arrival
from deploy.traffic.sessions import Visit
from deploy.traffic.world import World

_FAILED: Final = 0.015
_FAILED_IN_TROUBLE: Final = 0.3


def job(world: World, kind: str, at_ms: int, content_ms: int) -> Actor:
    """Yield the states of a `video` or `thumbnail` job; a failed job is retried under a new id."""
    rng, report = world.rng, world.operations.event
    for _ in range(3):
        job_id = world.ids.job()
        yield report("transcoder", "job", at_ms, jobType=kind, jobId=job_id, state="queued")
        at_ms += 400 + int(rng.expovariate(1 / 20_000))
        yield report("transcoder", "job", at_ms, jobType=kind, jobId=job_id, state="started")
        if kind == "video":
            took = 15_000 + int(content_ms * rng.uniform(0.35, 0.9))
        else:
            took = 1_500 + int(rng.lognormvariate(9.2, 0.6))
        failed = rng.random() < (_FAILED_IN_TROUBLE if world.incidents.now("transcoder", at_ms) else _FAILED)
        if failed:
            took = int(took * rng.random())
        at_ms += took
        own = {"jobType": kind, "jobId": job_id, "durationMs": took}
        yield report("transcoder", "job", at_ms, state="failed" if failed else "finished", **own)
        if not failed:
            return
        at_ms += 5_000


def maintenance(world: World, at_ms: int) -> Actor:
    """Yield a job on a video that is already published: a new rendition, or a new thumbnail."""
    shown = world.library.shown
    video = shown[int(world.rng.random() * len(shown))]
    kind = "video" if world.rng.random() < 0.4 else "thumbnail"
    yield from job(world, kind, at_ms, video.duration_ms or MINUTE_MS)


def publication(world: World, video: Video) -> list[Arrival]:
    """Return the arrivals for a new video: its upload, its two jobs, and its publication."""
    at = video.published_ms - processing_ms(video)
    return [
        (at, _upload(world, video, at)),
        (at + 29_000, job(world, "thumbnail", at + 29_000, MINUTE_MS)),
        (at + 30_000, job(world, "video", at + 30_000, video.duration_ms or MINUTE_MS)),
        (video.published_ms, _release(world, video)),
    ]


def processing_ms(video: Video) -> int:
    """Return the time from a video's upload to its publication, in milliseconds."""
    return 2 * MINUTE_MS + (video.duration_ms or 0)


def _upload(world: World, video: Video, at_ms: int) -> Actor:
    size = int((video.duration_ms or MINUTE_MS) / 1000 * 900_000 * world.rng.uniform(0.6, 1.4))
    visit = Visit(world, world.owners[video.owner], at_ms)
    yield visit.event("session.start", at_ms)
    yield visit.event("page.view", at_ms + 600, path="/upload")
    yield world.operations.request("/uploads", at_ms + 20_000, "POST")
    yield visit.event("video.upload", at_ms + 20_400, videoId=video.id)
    yield world.operations.storage("write", size, at_ms + 21_500)
    yield visit.event("session.end", at_ms + 28_000)


def _release(world: World, video: Video) -> Actor:
    world.library.publish(video)
    yield video.entry(video.published_ms)


def removal(world: World, video: Video, at_ms: int) -> Actor:
    """Yield the record that deletes a video from the catalog."""
    world.library.remove(video)
    yield CATALOG, video.id, at_ms, None
