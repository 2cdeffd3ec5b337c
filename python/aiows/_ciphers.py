"""OpenSSL's cipher lists in terms of what the core can choose."""

from __future__ import annotations

import re
import ssl

from ._quoting import quoted

# The suites of TLS 1.2 that the core has, by OpenSSL's names.
SUITES = {
    "ECDHE-ECDSA-AES128-GCM-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "ECDHE-ECDSA-AES128-SHA": "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "ECDHE-ECDSA-AES128-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "ECDHE-ECDSA-AES256-SHA": "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "ECDHE-RSA-AES128-GCM-SHA256": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384": "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305": "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "ECDHE-RSA-AES128-SHA": "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "ECDHE-RSA-AES128-SHA256": "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "ECDHE-RSA-AES256-SHA": "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "AES128-GCM-SHA256": "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "AES256-GCM-SHA384": "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "AES128-SHA": "TLS_RSA_WITH_AES_128_CBC_SHA",
    "AES128-SHA256": "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "AES256-SHA": "TLS_RSA_WITH_AES_256_CBC_SHA",
}

_level = re.compile(r"@SECLEVEL=(\d+)").fullmatch


def check_list(context: ssl.SSLContext, cipherlist: str) -> None:
    """Raise ValueError for what a list asks for by name and the core cannot do."""
    for word in re.split(r"[:, ;]+", cipherlist):
        level = _level(word)
        if level and int(level[1]) != context.security_level:
            raise ValueError(f"set_ciphers: {word}, but the core has no security levels")
        if word.startswith("TLS_"):
            raise ValueError(
                f"set_ciphers: suite {word} of TLS 1.3 cannot be chosen, all of them are always on"
            )


def suites_of(context: ssl.SSLContext, cipherlist: str) -> tuple[str, ...]:
    """
    Return IANA names of the suites that context allows since cipherlist was set.

    Of what a keyword such as HIGH stands for the core takes what it has.

    Raises:
        ValueError: A suite given by its own name is none of the core's, or none is left.

    """
    allowed = [cipher["name"] for cipher in context.get_ciphers()]
    words = set(re.split(r"[:, ;]+", cipherlist))
    for name in allowed:
        if name in words and name not in SUITES:
            raise ValueError(
                f"set_ciphers: the core does not have the suite {name}, only {', '.join(SUITES)}"
            )
    found = tuple(SUITES[name] for name in allowed if name in SUITES)
    if not found:
        raise ValueError(
            f"set_ciphers: the core has none of the suites that {quoted(cipherlist)} allows"
        )
    return found
