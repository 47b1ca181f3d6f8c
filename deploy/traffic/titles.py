"""Titles of videos that read like real ones."""

from __future__ import annotations

from random import Random
from typing import Final

_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "dish": ("Ramen", "Shakshuka", "Focaccia", "Pad Thai", "Sourdough", "Butter Chicken", "Tacos al Pastor",
             "Carbonara", "Pierogi", "Feijoada", "Bibimbap", "Croissants", "Jollof Rice", "Gnocchi"),
    "city": ("Lisbon", "Kyoto", "Mexico City", "Istanbul", "Edinburgh", "Hanoi", "Cape Town", "Oslo",
             "Buenos Aires", "Seoul", "Marrakesh", "Vancouver", "Naples", "Ljubljana"),
    "thing": ("a Jet Engine", "a Lock", "GPS", "a Heat Pump", "Noise Cancelling", "a Transformer Station",
              "the Immune System", "a Mechanical Watch", "Fibre Optic Cable", "an Elevator", "Concrete"),
    "skill": ("Drawing Hands", "Fingerstyle Guitar", "Touch Typing", "Film Photography", "Woodturning",
              "Jazz Piano Voicings", "Rust", "SQL Window Functions", "Bread Scoring", "Chess Endgames"),
    "gear": ("a Folding E-Bike", "the Cheapest Mirrorless Camera", "a Repairable Laptop", "Budget Earbuds",
             "a Cast-Iron Pan", "an E-Ink Tablet", "a Solar Generator", "Trail Running Shoes"),
    "team": ("Rovers", "United", "Athletic", "Harbour", "Wanderers", "City", "Sporting", "Rangers"),
    "mood": ("Midnight", "Golden Hour", "Slow Tide", "Paper Planes", "Northern Line", "Soft Static",
             "Concrete Garden", "Afterglow", "Glass Rivers", "Second Summer"),
    "band": ("The Lanterns", "Mira Sol", "Kite Season", "Otto & June", "Velvet Arcade", "Low Orbit"),
    "beast": ("Otters", "Capybaras", "Rescue Kittens", "a Very Polite Crow", "Border Collies", "Red Pandas"),
    "room": ("Tiny Kitchen", "Attic", "Garden Shed", "Home Office", "Camper Van", "Balcony"),
}  # fmt: skip

_SHORT: Final = (
    "{beast} Being {beast}", "{dish} in {n} Seconds", "Wait for It... {city} Edition", 
    "POV: First Day in {city}", "One Trick for {skill}", "This Is Why You Love {beast}", "{city} from Above",
    "Rating {dish} in {city}", "Nobody Told Me This About {skill}",
)  # fmt: skip
_CLIP: Final = (
    "{dish} in {n} Minutes", "How {thing} Actually Works", "{band} - {mood} (Official Video)",
    "{city} {team} vs {other} {team2} | Highlights", "I Tried {skill} for {n} Days",
    "{n} Mistakes in {skill}", "Is {gear} Worth It?", "Street Food in {city}: {dish}",
    "{band} - {mood} (Live in {city})", "What {n} Euros Buys in {city}",
)  # fmt: skip
_LONG: Final = (
    "{n} Hours in {city} | Travel Guide", "The Hidden History of {thing}", "Building a {room} from Scratch",
    "{skill}: The Complete Beginner's Course", "Restoring a {room} - Full Build", "The Last Bakers of {city}",
    "{gear}: {n} Months Later", "Why {city} Works", "The {dish} Masterclass", "{band}: {mood} (Full Album)",
)  # fmt: skip
_LIVE: Final = (
    "LIVE: {mood} Radio - Beats to Focus To", "LIVE: {city} Harbour Webcam", "LIVE: World News Now",
    "LIVE: {beast} Cam 24/7", "LIVE: {city} City Walk",
)  # fmt: skip


def title(rng: Random, duration_ms: int | None, taken: set[str]) -> str:
    """Return a title that suits the length (None: a live channel), and add it to `taken`."""
    patterns: tuple[str, ...] = _LIVE
    if duration_ms is not None:
        patterns = _SHORT if duration_ms <= 60_000 else _CLIP if duration_ms <= 300_000 else _LONG
    for _ in range(20):
        text = _filled(rng, rng.choice(patterns))
        if text not in taken:
            break
    part, plain = 2, text
    while text in taken:
        text = f"{plain}, Part {part}"
        part += 1
    taken.add(text)
    return text


def _filled(rng: Random, pattern: str) -> str:
    words = {name: rng.choice(choices) for name, choices in _WORDS.items()}
    words["other"] = rng.choice([city for city in _WORDS["city"] if city != words["city"]])
    words["team2"] = rng.choice(_WORDS["team"])
    return pattern.format(n=rng.choice((3, 5, 7, 10, 12, 15, 24, 30, 48)), **words)
