"""The exceptions of the ssl module for what the core says about TLS."""

from __future__ import annotations

import re
import ssl

__all__ = ["certificate_error", "tls_error"]

# Why a certificate was refused, behind which one it is. Subject and issuer, which the
# peer chooses, are quoted.
_reason = re.compile(
    r'certificate(?: with subject "(?:[^"\\]|\\.)*"(?:, issuer "(?:[^"\\]|\\.)*")?)?: (.+)',
    re.DOTALL,
).search
# How the core's reasons begin and what OpenSSL calls them, X509_V_ERR_*.
_VERIFY_CODES = {
    "expired at ": 10,  # CERT_HAS_EXPIRED
    "not valid before ": 9,  # CERT_NOT_YET_VALID
    "self-signed and not trusted": 18,  # DEPTH_ZERO_SELF_SIGNED_CERT
    "a self-signed authority": 19,  # SELF_SIGNED_CERT_IN_CHAIN
    "signed by an authority": 20,  # UNABLE_TO_GET_ISSUER_CERT_LOCALLY
    "no trusted certificates": 20,
    "not meant for this use": 26,  # INVALID_PURPOSE
    "its pin is ": 50,  # APPLICATION_VERIFICATION
    'not valid for "': 62,  # HOSTNAME_MISMATCH
    "not an authority": 79,  # INVALID_CA
}
# Behind "not as RFC 5280 wants it: ", with VERIFY_X509_STRICT.
_STRICT_CODES = {
    "a path length, but": 80,  # PATHLEN_INVALID_FOR_NON_CA
    "a path length without": 81,  # PATHLEN_WITHOUT_KU_KEY_CERT_SIGN
    "the key usage to sign": 82,  # KU_KEY_CERT_SIGN_INVALID_FOR_NON_CA
    "the issuer's name": 83,  # ISSUER_NAME_EMPTY
    "the subject's name is empty and": 88,  # EMPTY_SUBJECT_SAN_NOT_CRITICAL
    "the subject's name": 84,  # SUBJECT_NAME_EMPTY
    "no authority key identifier": 85,  # MISSING_AUTHORITY_KEY_IDENTIFIER
    "an authority without a subject": 86,  # MISSING_SUBJECT_KEY_IDENTIFIER
    "the basic constraints": 89,  # CA_BCONS_NOT_CRITICAL
    "an authority without a key usage": 92,  # CA_CERT_MISSING_KEY_USAGE
    "extensions, but": 93,  # EXTENSIONS_REQUIRE_VERSION_3
}
_STRICT = "not as RFC 5280 wants it: "
_UNSPECIFIED = 1
_ADDRESS_MISMATCH = 64
_is_address_mismatch = re.compile(
    r'not valid for "(?:[0-9.]+|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)"'
).match

# What OpenSSL calls alerts, by what the core calls them.
_alert = re.compile(r'the peer refused with alert "([^"]+)"').search
_ALERTS = {
    "handshake failure": "SSLV3_ALERT_HANDSHAKE_FAILURE",
    "bad certificate": "SSLV3_ALERT_BAD_CERTIFICATE",
    "unsupported certificate": "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
    "revoked certificate": "SSLV3_ALERT_CERTIFICATE_REVOKED",
    "expired certificate": "SSLV3_ALERT_CERTIFICATE_EXPIRED",
    "unknown certificate": "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
    "unknown certificate authority": "TLSV1_ALERT_UNKNOWN_CA",
    "access denied": "TLSV1_ALERT_ACCESS_DENIED",
    "protocol version not supported": "TLSV1_ALERT_PROTOCOL_VERSION",
    "insufficient security level": "TLSV1_ALERT_INSUFFICIENT_SECURITY",
    "internal error": "TLSV1_ALERT_INTERNAL_ERROR",
    "unrecognized name": "TLSV1_UNRECOGNIZED_NAME",
    "certificate required": "TLSV13_ALERT_CERTIFICATE_REQUIRED",
    "no application protocol": "TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
}


def tls_error(message: str) -> ssl.SSLError:
    """Return what a failed handshake raises; reason is OpenSSL's name where there is one."""
    found = _alert(message)
    if found is not None:
        reason = _ALERTS.get(found[1])
    else:
        plain = "expected a TLS record" in message or "in plain HTTP" in message
        reason = "WRONG_VERSION_NUMBER" if plain else None
    error = ssl.SSLError(ssl.SSL_ERROR_SSL, message)
    _name(error, reason)
    return error


def certificate_error(message: str) -> ssl.SSLCertVerificationError:
    """Return what a refused certificate raises; verify_code is OpenSSL's number."""
    error = ssl.SSLCertVerificationError(ssl.SSL_ERROR_SSL, message)
    found = _reason(message)
    error.verify_message = message if found is None else found[1]
    error.verify_code = _verify_code(error.verify_message)
    _name(error, "CERTIFICATE_VERIFY_FAILED")
    return error


def _verify_code(reason: str) -> int:
    if _is_address_mismatch(reason):
        return _ADDRESS_MISMATCH
    codes = _VERIFY_CODES
    if reason.startswith(_STRICT):
        codes, reason = _STRICT_CODES, reason.removeprefix(_STRICT)
    for beginning, code in codes.items():
        if reason.startswith(beginning):
            return code
    return _UNSPECIFIED


def _name(error: ssl.SSLError, reason: str | None) -> None:
    # What OpenSSL's own errors have, and what programs look at.
    error.library = "SSL"
    error.reason = reason  # type: ignore[assignment]
