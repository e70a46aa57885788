#!/usr/bin/env python3
"""layers: who may include whom.

Checks every #include of the sources, headers and tests against the table of
rooms below, looks for cycles among the headers, and holds the pure modules
to what they promise: no socket, no file, no clock.  Prints one line for each
finding and ends with 1 if there is any.
"""
import os
import re
import sys

ROOMS = {
    "base": set(),
    "meta": {"base"},
    "net": {"base"},
    "store": {"base", "meta"},
    "discover": {"base", "meta", "net"},
    "swarm": {"base", "meta", "net", "store"},
    "session": {"base", "meta", "net", "store", "discover", "swarm"},
    "cli": {"base", "meta", "session"},
}

# Time and randomness come into these as arguments, so that tests are exact.
PURE = {
    "meta/bencode", "swarm/wire", "swarm/picker", "swarm/choker",
    "discover/dht_table", "store/layout", "cli/bars",
}
IMPURE_HEADERS = re.compile(
    r"(sys/(socket|stat|time|epoll|select|mman|uio|un)|netinet/.*|arpa/inet|"
    r"netdb|poll|fcntl|unistd|dirent|time|signal|curl/.*)\.h$")
IMPURE_CALLS = re.compile(
    r"\b(clock_ns|clock_wall|random_bytes|random_u64|fopen|printf|fprintf|"
    r"time|open|openat|read|write|rand|random)\s*\(")
# Where the tests of no single room live, and what they may reach.
FREE_TESTS = {"e2e", "fuzz", "bench", "support"}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+(?:"([^"]+)"|<([^>]+)>)',
                     re.MULTILINE)
NO_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.DOTALL)


class Tree:
    def __init__(self, top):
        self.top = top
        self.findings = []
        self.edges = {}

    def find(self, path, text):
        self.findings.append(f"{path}: {text}")

    def read(self, path):
        with open(os.path.join(self.top, path), encoding="utf-8") as f:
            return f.read()

    def files(self, folder):
        for base, _, names in os.walk(os.path.join(self.top, folder)):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(base, name), self.top)

    def is_private(self, path, target):
        """A header beside its users in src/, for one room alone."""
        here = os.path.join(self.top, os.path.dirname(path), target)
        return "/" not in target and os.path.exists(here)

    def check_edge(self, path, room, allowed, target):
        target_room = target.split("/")[0]
        if not os.path.exists(os.path.join(self.top, "include", target)):
            self.find(path, f'"{target}" is not below include/')
        elif target_room not in ROOMS:
            self.find(path, f'"{target}" is of no known room')
        elif target_room != room and target_room not in allowed:
            self.find(path, f'{room} may not include "{target}"')

    def check_pure(self, path, text, system):
        for name in system:
            if IMPURE_HEADERS.match(name):
                self.find(path, f"a pure module may not include <{name}>")
        for call in IMPURE_CALLS.finditer(NO_CODE.sub("", text)):
            self.find(path, f"a pure module may not call {call.group(1)}")

    def check_module(self, path):
        """A file of src/ or include/."""
        top, room = path.split("/")[:2]
        module = os.path.splitext("/".join(path.split("/")[1:]))[0]
        if room not in ROOMS:
            self.find(path, f"{room} is no known room")
            return
        text = self.read(path)
        pairs = INCLUDE.findall(text)
        ours = [a for a, _ in pairs if a]
        for i, target in enumerate(ours):
            if top == "src" and self.is_private(path, target):
                ours[i] = os.path.join(os.path.dirname(path), target)
            else:
                self.check_edge(path, room, ROOMS[room], target)
        if any(module == p or module.startswith(p + "_") for p in PURE):
            self.check_pure(path, text, [b for _, b in pairs if b])
        own = module + ".h"
        if path.endswith(".h"):
            self.edges[own if top == "include" else path] = ours
        elif os.path.exists(os.path.join(self.top, "include", own)):
            if not pairs or pairs[0][0] != own:
                self.find(path, f'its own header "{own}" must come first')

    def check_test(self, path):
        room = path.split("/")[1]
        free = room in FREE_TESTS
        if not free and room not in ROOMS:
            self.find(path, f"{room} is no known room")
            return
        here = os.path.dirname(path)
        for target, _ in INCLUDE.findall(self.read(path)):
            if not target:
                continue
            near = [os.path.join(d, target) for d in (here, "test")]
            if any(os.path.exists(os.path.join(self.top, n)) for n in near):
                continue
            allowed = set(ROOMS) if free else ROOMS[room]
            self.check_edge(path, room, allowed, target)

    def check_cycles(self):
        done = set()

        def walk(header, trail):
            if header in trail:
                cycle = trail[trail.index(header):] + [header]
                self.find(header, "cycle: " + " > ".join(cycle))
                return
            if header in done:
                return
            for target in self.edges.get(header, []):
                walk(target, trail + [header])
            done.add(header)

        for header in sorted(self.edges):
            walk(header, [])


def main():
    top = sys.argv[1] if len(sys.argv) > 1 else "."
    tree = Tree(top)
    count = 0
    for folder in ("include", "src"):
        for path in tree.files(folder):
            tree.check_module(path)
            count += 1
    for path in tree.files("test"):
        tree.check_test(path)
        count += 1
    tree.check_cycles()
    for line in tree.findings:
        print(line)
    if count == 0:
        print(f"{top}: no sources here")
        return 1
    if not tree.findings:
        print(f"layers: {count} files keep to the table of rooms")
    return 1 if tree.findings else 0


if __name__ == "__main__":
    sys.exit(main())
