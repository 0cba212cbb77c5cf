"""The official SDK, fit for a server: one connection pool for all threads, no retries or redirects.

Imported at the first call only. The SDK (3.1.1, the last one) builds on `msrest`, whose sender
keeps a session for each thread and has its own rules about what to retry.
"""

import logging
from typing import Any

import requests
from azure.cognitiveservices.vision.customvision.prediction import CustomVisionPredictionClient
from azure.cognitiveservices.vision.customvision.training import CustomVisionTrainingClient
from msrest.authentication import ApiKeyCredentials
from msrest.universal_http.requests import RequestsHTTPSender
from requests.adapters import HTTPAdapter

from customvision.client.resource import Resource

# At DEBUG it logs everything that a service answers
logging.getLogger("msrest").setLevel(logging.WARNING)
CLIENTS = {"prediction": CustomVisionPredictionClient, "training": CustomVisionTrainingClient}


def open_client(resource: Resource, *, connections: int) -> Any:
    """Return the SDK's client for a resource, with a pool of `connections`."""
    credentials = ApiKeyCredentials(in_headers={resource.header: resource.key})
    client: Any = CLIENTS[resource.area](resource.endpoint.rstrip("/"), credentials)
    client.config.retry_policy.retries = 0
    # A status on this list would be raised as a RetryError, which loses the service's answer
    client.config.retry_policy.policy.status_forcelist = []
    # A redirect would send the key to wherever it leads
    client.config.redirect_policy.allow = False
    client.config.pipeline._sender.driver = _OneSession(client.config, connections)
    client.__enter__()  # keep the connections open
    return client


class _OneSession(RequestsHTTPSender):
    """A sender whose threads share one session: its pool is thread-safe, the rest never changes."""

    def __init__(self, config: Any, connections: int) -> None:
        self._connections = connections
        super().__init__(config)

    @property
    def session(self) -> requests.Session:
        return self._shared

    @session.setter
    def session(self, value: requests.Session) -> None:
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=self._connections)
        value.mount("https://", adapter)
        value.mount("http://", adapter)
        self._init_session(value)
        self._shared = value
