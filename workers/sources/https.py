"""Any provider whose URL is enough: fetched as given."""

from workers.credentials import Credentials
from workers.sources.request import Request
from workers.uploads import Upload


class Https:
    """No credentials are ever sent: nothing says which hosts they would belong to."""

    def request(self, upload: Upload, credentials: Credentials | None) -> Request:
        del credentials
        return Request(upload.source_url)
