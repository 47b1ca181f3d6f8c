"""Events as sent by a producer that uses none of this code."""

from __future__ import annotations

import json
import time


def view_start(view: str, video: str) -> str:
    """Return the first event of a view that begins now; its viewer has no other view."""
    return json.dumps(
        {
            "type": "view.start",
            "eventId": view,
            "occurredAt": int(time.time() * 1000),
            "seq": 0,
            "startupMs": 640,
            "videoId": video,
            "viewId": view,
            "sessionId": view,
            "userId": view,
        }
    )
