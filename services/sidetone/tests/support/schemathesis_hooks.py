"""What the requests of a run need: a bot's signature, and names of what exists."""

import hashlib
import json
import os
import random
import time

import schemathesis
from requests.auth import AuthBase

KNOWN = json.loads(os.environ.get("SIDETONE_KNOWN", "{}"))
CHOICE = random.Random(1)


@schemathesis.hook
def before_call(context, case, kwargs):
    for name, value in KNOWN.items():
        # Names of what does not exist have their turn too, but not that of a team: it is who asks.
        if case.path_parameters and name in case.path_parameters and (name == "team" or CHOICE.random() < 0.7):
            case.path_parameters[name] = value


class Signed(AuthBase):
    """X-Signature is the SHA-256 of bot, secret, time and body."""

    def __call__(self, request):
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        bot, now = os.environ["SIDETONE_BOT"], str(int(time.time()))
        proof = bot.encode() + os.environ["SIDETONE_SECRET"].encode() + now.encode() + body
        signature = hashlib.sha256(proof).hexdigest()
        request.headers.update({"x-bot-id": bot, "x-timestamp": now, "x-signature": signature})
        return request


if "SIDETONE_BOT" in os.environ:
    schemathesis.auth.set_from_requests(Signed())
