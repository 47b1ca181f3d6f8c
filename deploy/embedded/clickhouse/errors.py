"""The engine's errors as ClickHouse's HTTP interface shows them: status, code header, one text body."""

from __future__ import annotations

import re

_CODE = re.compile(r"Code: (\d+)\. ")
_NESTED = re.compile(r"^Code: \d+\. DB::Exception: (?=Code: \d+\. DB::Exception: )")

# The table of ClickHouse's HTTPHandler (exceptionCodeToHTTPStatus); what is not listed is a 500.
_STATUS_CODES = {
    400: (6, 25, 26, 27, 36, 38, 41, 42, 43, 44, 53, 62, 72, 117, 167, 168, 184, 321, 376, 427, 441, 456),
    401: (194,),
    403: (192, 193, 497, 516),
    404: (46, 47, 50, 56, 60, 63, 73, 81, 115, 336),
    408: (159,),
    411: (381,),
    501: (48,),
    503: (76, 209, 439),
}
_STATUS = {code: status for status, codes in _STATUS_CODES.items() for code in codes}

BAD_ARGUMENTS = 36
NOT_IMPLEMENTED = 48
CANNOT_WRITE = 75


class EngineError(Exception):
    """An error that the client sees, with ClickHouse's numeric code.

    `str(error)` is the whole body: `Code: N. DB::Exception: text`.
    """

    def __init__(self, code: int, body: str) -> None:
        """Keep the code and the body exactly as they will be sent."""
        super().__init__(body)
        self.code = code

    @property
    def status(self) -> int:
        """Return the HTTP status that ClickHouse gives to this code."""
        return _STATUS.get(self.code, 500)

    @classmethod
    def refuse(cls, code: int, text: str) -> EngineError:
        """Make an error that the front itself raises, in the engine's form."""
        return cls(code, f"Code: {code}. DB::Exception: {text}")

    @classmethod
    def from_message(cls, message: str) -> EngineError:
        """Read chDB's message; one without a code gets 1002, ClickHouse's UNKNOWN_EXCEPTION."""
        found = _CODE.search(message)
        if found is None:
            return cls(1002, f"Code: 1002. DB::Exception: {message.strip()}")
        body = message[found.start() :].strip()
        while (shorter := _NESTED.sub("", body)) != body:
            body = shorter
        return cls(int(found.group(1)), body)
