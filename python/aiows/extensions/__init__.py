"""
Extensions of the protocol (RFC 6455 section 9).

There is one, permessage-deflate; ``permessage_deflate`` has the factories that
``connect(extensions=...)`` and ``serve(extensions=...)`` take.
"""
