"""Where the audience lives: countries with their share, time zone and quality of network."""

from __future__ import annotations

from typing import Final, NamedTuple


class Place(NamedTuple):
    """A country, or the part of one that shares a time zone."""

    #: ISO 3166-1 alpha-2.
    country: str
    #: Relative size of the audience.
    share: float
    #: IANA time zone.
    zone: str
    #: 1 is a good fixed line; with less, start-up takes longer and stalls are more frequent.
    network: float


PLACES: Final = (
    Place("US", 17.0, "America/New_York", 1.0),
    Place("US", 9.5, "America/Los_Angeles", 1.0),
    Place("IN", 11.0, "Asia/Kolkata", 0.62),
    Place("GB", 9.0, "Europe/London", 1.0),
    Place("DE", 7.0, "Europe/Berlin", 1.0),
    Place("BR", 6.5, "America/Sao_Paulo", 0.7),
    Place("JP", 5.0, "Asia/Tokyo", 1.15),
    Place("FR", 4.5, "Europe/Paris", 1.05),
    Place("CA", 3.6, "America/Toronto", 1.0),
    Place("MX", 3.4, "America/Mexico_City", 0.72),
    Place("ID", 3.0, "Asia/Jakarta", 0.6),
    Place("ES", 2.6, "Europe/Madrid", 1.05),
    Place("KR", 2.5, "Asia/Seoul", 1.25),
    Place("AU", 2.2, "Australia/Sydney", 0.85),
    Place("IT", 2.1, "Europe/Rome", 0.9),
    Place("NL", 1.9, "Europe/Amsterdam", 1.15),
    Place("PL", 1.8, "Europe/Warsaw", 0.95),
    Place("TR", 1.5, "Europe/Istanbul", 0.75),
    Place("PH", 1.3, "Asia/Manila", 0.58),
    Place("NG", 1.1, "Africa/Lagos", 0.45),
    Place("SE", 1.0, "Europe/Stockholm", 1.15),
    Place("AR", 1.0, "America/Argentina/Buenos_Aires", 0.7),
    Place("ZA", 0.8, "Africa/Johannesburg", 0.6),
    Place("EG", 0.7, "Africa/Cairo", 0.5),
    Place("NZ", 0.5, "Pacific/Auckland", 0.9),
)
SHARES: Final = tuple(place.share for place in PLACES)
