"""What runs on both libraries; importing this package registers all of it."""

from __future__ import annotations

from . import attributes as attributes
from . import closing as closing
from . import failing as failing
from . import limits as limits
from . import messages as messages
from . import opening as opening
from . import proxies as proxies
from . import reconnecting as reconnecting
from . import redirects as redirects
from . import serving as serving
from . import sockets as sockets
