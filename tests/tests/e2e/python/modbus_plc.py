# A minimal sorter PLC: one item, which it diverts where the edge says. Argument: its TCP port. USR1 stops its program.
import asyncio
import json
import signal
import sys
import time

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

STATUS, EDGE, COMMAND, RING, SLOT, SLOTS = 0, 100, 110, 200, 29, 64


def say(**what):
    print(json.dumps(what), flush=True)


async def get(at, count):
    return await server.context.async_getValues(1, 3, at, count)


async def put(at, values):
    await server.context.async_setValues(1, 16, at, values)


def long(value):
    return [value >> 16 & 0xFFFF, value & 0xFFFF]


def number(pair):
    return pair[0] << 16 | pair[1]


boot, begun, last, first, taken, beat = 7, time.monotonic(), 0, 1, 0, 0
running = True


def clock():
    return int((time.monotonic() - begun) * 1000)


async def status():
    await put(STATUS, [0x5301, *long(boot), *long(clock()), beat, 1, *long(first), *long(last), taken, 0])


async def event(kind, item, chute=0, detail=0, decide_in=0, code=b""):
    global last
    text = code.ljust(32, b"\0")
    text = [text[at] << 8 | text[at + 1] for at in range(0, 32, 2)]
    await put(RING + last % SLOTS * SLOT, [*long(last + 1), *long(boot), kind, *long(item), chute, detail, *long(clock()),
        decide_in, len(code), *text])
    last += 1


async def program():
    global beat, taken, first
    ends, scanned, recorded, edge = [], False, 0, 0
    while running:
        beat = (beat + 1) & 0xFFFF
        heartbeat, *rest = await get(EDGE, 5)
        if heartbeat != edge:
            edge = heartbeat
            if number(rest[:2]) == boot:
                if not scanned:
                    scanned = True
                    await event(1, 1, decide_in=3000, code=b"EXP-PYMODBUS")
                    say(scanned=1)
                if number(rest[2:]) != recorded:
                    recorded = number(rest[2:])
                    first = recorded + 1
                    say(recorded=recorded)
        b0, b1, i0, i1, chute, d0, d1, n = await get(COMMAND, 8)
        if n not in (0, taken):
            taken = n
            say(command={"boot": number([b0, b1]), "item": number([i0, i1]), "chute": chute,
                "left_ms": number([d0, d1]) - clock()})
            await event(2, number([i0, i1]), chute)
            ends.append((time.monotonic() + 0.5, number([i0, i1]), chute))
        while ends and ends[0][0] <= time.monotonic():
            _, item, chute = ends.pop(0)
            await event(10, item, chute, 1)
            say(diverted=item)
        await status()
        await asyncio.sleep(0.02)


def stop():
    global running
    running = False


async def main():
    global server
    device = SimDevice(1, simdata=SimData(0, values=[0] * 4000, datatype=DataType.REGISTERS))
    server = ModbusTcpServer(device, address=("127.0.0.1", int(sys.argv[1])))
    await status()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, stop)
    await asyncio.gather(server.serve_forever(), program())


asyncio.run(main())
