"""A second WebRTC stack as a telephone: aiortc (OpenSSL's DTLS, libsrtp, aioice) with SIP over a WebSocket of its own.

    webrtc_phone.py ws://127.0.0.1:PORT DOMAIN USER PASSWORD TONE_HZ [NUMBER]

It registers and prints REGISTERED. With a number it calls it, otherwise it answers the first call that comes. It speaks the tone, and
prints "HEARD HZ LEVEL" for each half second of what it hears, HZ being the loudest of the frequencies that tests use. It hangs up and
ends when its standard input is closed.
"""

import array
import asyncio
import fractions
import hashlib
import math
import os
import re
import sys

import aioice.ice
import av
import websockets
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription

# Everything of a test is on the loopback, which aioice leaves out.
aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]

URL, DOMAIN, USER, PASSWORD, TONE_HZ = *sys.argv[1:5], int(sys.argv[5])
NUMBER = sys.argv[6] if len(sys.argv) > 6 else None
RATE = 48000
TONES = (440, 700, 1150)


def say(*words):
    print(*words, flush=True)


class Voice(MediaStreamTrack):
    """A tone, 20 ms at a time, in real time."""

    kind = "audio"

    def __init__(self):
        super().__init__()
        self.at = 0
        self.start = None

    async def recv(self):
        loop = asyncio.get_event_loop()
        self.start = self.start if self.start is not None else loop.time()
        await asyncio.sleep(max(0, self.start + self.at / RATE - loop.time()))
        turn = 2 * math.pi * TONE_HZ / RATE
        samples = array.array("h", (int(8000 * math.sin(turn * at)) for at in range(self.at, self.at + 960)))
        frame = av.AudioFrame(format="s16", layout="mono", samples=960)
        frame.planes[0].update(samples.tobytes())
        frame.sample_rate, frame.pts, frame.time_base = RATE, self.at, fractions.Fraction(1, RATE)
        self.at += 960
        return frame


def level(samples, rate, hz):
    """Of one frequency (Goertzel), in dB below full scale."""
    factor, one, two = 2 * math.cos(2 * math.pi * hz / rate), 0.0, 0.0
    for sample in samples:
        one, two = sample + factor * one - two, one
    power = max(one * one + two * two - factor * one * two, 1e-9)
    return 20 * math.log10(2 * math.sqrt(power) / len(samples) / 32768 + 1e-9)


async def listen(track):
    """Says what is heard, half a second at a time."""
    heard = []
    while True:
        frame = await track.recv()
        channels = len(frame.layout.channels)
        samples = array.array("h", bytes(frame.planes[0])[: frame.samples * channels * 2])
        # 16 kHz will do, and G.711 has 8 only.
        step = max(1, frame.sample_rate // 16000)
        heard.extend(samples[:: step * channels])
        rate = frame.sample_rate // step
        if len(heard) >= rate // 2:
            levels = {hz: level(heard, rate, hz) for hz in TONES}
            loudest = max(TONES, key=levels.get)
            say("HEARD", loudest, round(levels[loudest]))
            heard = []


class Message:
    def __init__(self, text):
        head, _, self.body = text.partition("\r\n\r\n")
        self.first, *lines = head.split("\r\n")
        self.headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines]

    def get(self, name):
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def status(self):
        return int(self.first.split()[1]) if self.first.startswith("SIP/2.0") else None

    @property
    def method(self):
        return self.get("CSeq").split()[1]


def token():
    return os.urandom(8).hex()


class Phone:
    def __init__(self, socket):
        self.socket = socket
        self.cseq = 0
        self.tag = token()
        self.host = token() + ".invalid"
        self.answers = {}
        self.requests = asyncio.Queue()
        self.dialog = None

    async def read(self):
        async for text in self.socket:
            message = Message(text if isinstance(text, str) else text.decode())
            if message.status is not None:
                await self.answers.setdefault(message.get("CSeq"), asyncio.Queue()).put(message)
            elif message.method == "ACK":
                pass
            elif message.method == "INVITE" and self.dialog is None:
                await self.requests.put(message)
            else:
                await self.reply(message, 200, "OK")

    async def reply(self, request, status, reason, sdp=""):
        lines = [f"SIP/2.0 {status} {reason}"]
        lines += [f"Via: {via}" for via in request.all("Via")] + [f"Record-Route: {r}" for r in request.all("Record-Route")]
        to = request.get("To")
        to = to if "tag=" in to or status == 100 else f"{to};tag={self.tag}"
        lines += [f"From: {request.get('From')}", f"To: {to}", f"Call-ID: {request.get('Call-ID')}", f"CSeq: {request.get('CSeq')}"]
        lines += [f"Contact: <sip:{USER}@{self.host};transport=ws>"]
        await self.send(lines, sdp)

    async def send(self, lines, sdp=""):
        if sdp:
            lines = lines + ["Content-Type: application/sdp"]
        await self.socket.send("\r\n".join(lines + [f"Content-Length: {len(sdp.encode())}", "", sdp]))

    async def request(self, method, uri, to, call_id, sdp="", more=()):
        """Sends a request, once more with credentials when it is asked for them; the final answer."""
        credentials = []
        for _ in range(3):
            self.cseq += 1
            lines = [
                f"{method} {uri} SIP/2.0",
                f"Via: SIP/2.0/WS {self.host};branch=z9hG4bK{token()}",
                "Max-Forwards: 70",
                f"From: <sip:{USER}@{DOMAIN}>;tag={self.tag}",
                f"To: {to}",
                f"Call-ID: {call_id}",
                f"CSeq: {self.cseq} {method}",
                f"Contact: <sip:{USER}@{self.host};transport=ws>",
                *more,
                *credentials,
            ]
            await self.send(lines, sdp)
            if method == "ACK":
                return None
            queue = self.answers.setdefault(f"{self.cseq} {method}", asyncio.Queue())
            answer = await asyncio.wait_for(queue.get(), 20)
            while answer.status < 200:
                answer = await asyncio.wait_for(queue.get(), 40)
            if method == "INVITE" and answer.status >= 300:
                ack = [line.replace("INVITE", "ACK", 1) for line in lines[:2]] + lines[2:4]
                await self.send(ack + [f"To: {answer.get('To')}", lines[5], f"CSeq: {self.cseq} ACK"])
            if answer.status not in (401, 407):
                return answer
            credentials = [self.digest(answer, method, uri)]
        raise RuntimeError(f"{method}: {answer.first}")

    @staticmethod
    def digest(challenge, method, uri):
        kind, name = ("WWW-Authenticate", "Authorization") if challenge.status == 401 else ("Proxy-Authenticate", "Proxy-Authorization")
        told = dict(re.findall(r'(\w+)="?([^",]+)"?', challenge.all(kind)[-1]))
        hashed = hashlib.sha256 if told.get("algorithm", "MD5").upper() == "SHA-256" else hashlib.md5
        of = lambda text: hashed(text.encode()).hexdigest()
        cnonce = token()
        first, second = of(f"{USER}:{told['realm']}:{PASSWORD}"), of(f"{method}:{uri}")
        response = of(f"{first}:{told['nonce']}:00000001:{cnonce}:auth:{second}")
        value = (
            f'{name}: Digest username="{USER}", realm="{told["realm"]}", nonce="{told["nonce"]}", uri="{uri}", '
            f'response="{response}", qop=auth, nc=00000001, cnonce="{cnonce}", algorithm={told.get("algorithm", "MD5")}'
        )
        return value + (f', opaque="{told["opaque"]}"' if "opaque" in told else "")

    async def register(self):
        answer = await self.request("REGISTER", f"sip:{DOMAIN}", f"<sip:{USER}@{DOMAIN}>", token(), more=["Expires: 300"])
        assert answer.status == 200, answer.first
        say("REGISTERED")

    async def call(self, peer):
        await peer.setLocalDescription(await peer.createOffer())
        uri, call_id = f"sip:{NUMBER}@{DOMAIN}", token()
        answer = await self.request("INVITE", uri, f"<{uri}>", call_id, peer.localDescription.sdp)
        assert answer.status == 200, answer.first
        target = re.search(r"<([^>]+)>", answer.get("Contact")).group(1)
        self.dialog = (target, answer.get("To"), call_id)
        invite, self.cseq = self.cseq, self.cseq - 1
        await self.request("ACK", target, answer.get("To"), call_id)
        assert self.cseq == invite
        await peer.setRemoteDescription(RTCSessionDescription(answer.body, "answer"))

    async def answer(self, peer):
        invite = await self.requests.get()
        await self.reply(invite, 180, "Ringing")
        await peer.setRemoteDescription(RTCSessionDescription(invite.body, "offer"))
        peer.addTrack(Voice())
        await peer.setLocalDescription(await peer.createAnswer())
        target = re.search(r"<([^>]+)>", invite.get("Contact")).group(1)
        self.dialog = (target, invite.get("From"), invite.get("Call-ID"))
        await self.reply(invite, 200, "OK", peer.localDescription.sdp)

    async def hang_up(self):
        if self.dialog:
            target, to, call_id = self.dialog
            await self.request("BYE", target, to, call_id)


async def main():
    async with websockets.connect(URL, subprotocols=["sip"]) as socket:
        phone, peer = Phone(socket), RTCPeerConnection()
        tasks = [asyncio.create_task(phone.read())]
        peer.on("track", lambda track: tasks.append(asyncio.create_task(listen(track))))
        peer.on("connectionstatechange", lambda: say("STATE", peer.connectionState))
        await phone.register()
        if NUMBER:
            peer.addTrack(Voice())
            await phone.call(peer)
        else:
            await phone.answer(peer)
        say("CONNECTED")
        await asyncio.get_event_loop().run_in_executor(None, sys.stdin.read)
        await phone.hang_up()
        await peer.close()
        for task in tasks:
            task.cancel()


asyncio.run(main())
