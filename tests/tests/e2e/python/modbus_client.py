# Reads a sorter PLC's registers and commands its first item, as an edge would: argument "tcp" PORT or "rtu" PATH.
import json
import sys
import time

from pymodbus.client import ModbusSerialClient, ModbusTcpClient

STATUS, COMMAND, RING, SLOT = 0, 110, 200, 29


def say(**what):
    print(json.dumps(what), flush=True)


def long(registers, at):
    return registers[at] << 16 | registers[at + 1]


def split(value):
    return [value >> 16 & 0xFFFF, value & 0xFFFF]


if sys.argv[1] == "tcp":
    client = ModbusTcpClient("127.0.0.1", port=int(sys.argv[2]), timeout=5)
else:
    client = ModbusSerialClient(sys.argv[2], baudrate=115200, timeout=5)
assert client.connect()


def read(at, count):
    answer = client.read_holding_registers(at, count=count, device_id=1)
    assert not answer.isError(), answer
    return answer.registers


def slot(number):
    registers = read(RING + (number - 1) * SLOT, SLOT)
    text = b"".join(register.to_bytes(2, "big") for register in registers[13:])
    return {
        "number": long(registers, 0), "boot": long(registers, 2), "kind": registers[4], "item": long(registers, 5),
        "chute": registers[7], "at_ms": long(registers, 9), "decide_in_ms": registers[11],
        "code": text[: registers[12]].decode(),
    }


say(connected=True)
while long(read(STATUS, 13), 9) == 0:
    time.sleep(0.02)
say(status=read(STATUS, 13))
scan = slot(1)
say(slot=scan)
say(nowhere=client.read_holding_registers(50, count=1, device_id=1).exception_code)
say(function=client.read_coils(0, count=1, device_id=1).exception_code)
# The edge's heartbeat, then the command: chute 4, deadline as the scan says, number 9.
assert not client.write_registers(100, [1, *split(scan["boot"]), 0, 0], device_id=1).isError()
order = [*split(scan["boot"]), *split(scan["item"]), 4, *split(scan["at_ms"] + scan["decide_in_ms"]), 9]
assert not client.write_registers(COMMAND, order, device_id=1).isError()
answer = slot(2)
say(taken={"number": read(STATUS, 13)[11], "kind": answer["kind"], "item": answer["item"], "chute": answer["chute"]})
for beat in range(2, 6):
    time.sleep(1)
    client.write_registers(100, [beat, *split(scan["boot"]), 0, 0], device_id=1)
client.close()
