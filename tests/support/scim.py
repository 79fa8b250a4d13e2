"""Judges a SCIM server: how often each verdict was given, and what was said of all that is no success, as JSON.

    NEXUS_KEY=KEY scim-python scim.py URL
"""

import collections
import json
import os
import sys

from httpx2 import Client
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import check_server

headers = {"Authorization": f"Bearer {os.environ['NEXUS_KEY']}"}
with Client(base_url=sys.argv[1], headers=headers, timeout=30) as http:
    results = check_server(SyncSCIMClient(http))
verdicts = collections.Counter(result.status.name for result in results)
titles = collections.Counter(result.title for result in results)
others = [
    f"{result.status.name} {result.title} {result.resource_type}: {result.reason}"
    for result in results
    if result.status.name != "SUCCESS"
]
print(json.dumps({"verdicts": verdicts, "titles": titles, "others": others}))
