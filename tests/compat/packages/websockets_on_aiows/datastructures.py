"""websockets.datastructures."""

from aiows.headers import Headers as Headers
from aiows.headers import HeadersLike as HeadersLike
from aiows.headers import MultipleValuesError as MultipleValuesError
