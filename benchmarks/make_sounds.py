"""Two folders of sounds to train on, made without network: spoken digits and families of instruments.

    python benchmarks/make_sounds.py digits sounds/digits
    python benchmarks/make_sounds.py instruments sounds/instruments

Neither is a recording of people or of instruments. The digits are spoken by espeak-ng (formant synthesis): accents,
timbres ("variants"), speeds and pitches are combined, and the test voices (accent and timbre together) are not those
of training. The instruments are notes and short phrases of General MIDI programs, played by fluidsynth from the sound
font FluidR3 GM (samples of real instruments, Debian package fluid-soundfont-gm); every family has programs that are in
the test alone. What is learned here is learned about synthesisers: figures say nothing about microphones.

Everything depends on the seed alone. Needs espeak-ng, or fluidsynth and its sound font: on Debian
`apt install espeak-ng fluidsynth fluid-soundfont-gm`; and soundfile (`pip install 'skipline[audio]'`).
"""

from __future__ import annotations

import argparse
import random
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
VOICES = {  # accent and timbre; no accent and no timbre of the test is in the training
    "train": (("en-gb", "en-us", "en-gb-x-rp"), ("m1", "m3", "m5", "f1", "f3", "croak", "klatt")),
    "test": (("en-gb-scotland", "en-029"), ("m2", "m7", "f2", "f4", "klatt3")),
}
TAKES = {"train": 7, "test": 5}  # of each word by each voice, at other speeds and pitches

FONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
FAMILIES = {  # General MIDI programs from 0: training, test
    "piano": ((0, 1, 2, 3), (4, 6)),
    "mallets": ((8, 9, 11, 12), (10, 13)),
    "organ": ((16, 17, 19, 20), (18, 21)),
    "guitar": ((24, 25, 27, 28), (26, 29)),
    "bass": ((32, 33, 35, 38), (34, 36)),
    "strings": ((40, 42, 48, 49), (41, 50)),
    "brass": ((56, 57, 60, 61), (58, 62)),
    "reed": ((64, 65, 68, 71), (66, 69)),
    "pipe": ((72, 73, 75, 77), (74, 79)),
    "lead": ((80, 81, 84, 87), (82, 86)),
}
RANGES = {"bass": (28, 52), "pipe": (60, 88), "mallets": (55, 84)}  # MIDI notes; others 43 to 79
PHRASES = {"train": 20, "test": 14}  # of each program
RATE = 22_050  # samples a second of the instruments


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kind", choices=("digits", "instruments"))
    parser.add_argument("out", type=Path, help="a folder that does not exist yet")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.out.exists():
        sys.exit(f"'{arguments.out}' is there already: choose another folder")
    program = {"digits": "espeak-ng", "instruments": "fluidsynth"}[arguments.kind]
    if shutil.which(program) is None:
        sys.exit(f"{program} is not installed: apt install espeak-ng fluidsynth fluid-soundfont-gm")
    if arguments.kind == "instruments" and not FONT.is_file():
        sys.exit(f"no sound font at {FONT}: apt install fluid-soundfont-gm")
    make = {"digits": digits, "instruments": instruments}[arguments.kind]
    partial = arguments.out.with_name(f".{arguments.out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    files = make(partial, random.Random(arguments.seed))
    partial.rename(arguments.out)
    print(f"{files:,} files in {arguments.out}")


def digits(folder: Path, chance: random.Random) -> int:
    """FOLDER/SPLIT/WORD/ACCENT-TIMBRE-N.wav, 22,050 Hz as espeak-ng writes them."""
    commands = []
    for split, (accents, timbres) in VOICES.items():
        for word in WORDS:
            (folder / split / word).mkdir(parents=True)
            for accent in accents:
                for timbre in timbres:
                    for take in range(TAKES[split]):
                        file = folder / split / word / f"{accent}-{timbre}-{take}.wav"
                        speed, pitch = chance.randint(120, 220), chance.randint(20, 80)
                        voice = ["-v", f"{accent}+{timbre}", "-s", str(speed), "-p", str(pitch)]
                        commands.append(["espeak-ng", *voice, "-w", str(file), word])
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda command: subprocess.run(command, check=True, capture_output=True), commands))
    return len(commands)


def instruments(folder: Path, chance: random.Random) -> int:
    """FOLDER/SPLIT/FAMILY/PROGRAM-N.flac, mono.

    The phrases of one program are played one after the other into one file, which is cut by the clock: loading the
    sound font takes longer than playing.
    """
    files = 0
    for family, programs in FAMILIES.items():
        for split, chosen in zip(("train", "test"), programs, strict=True):
            (folder / split / family).mkdir(parents=True)
            for program in chosen:
                lengths, midi = song(program, RANGES.get(family, (43, 79)), PHRASES[split], chance)
                for number, samples in enumerate(played(midi, lengths)):
                    save(folder / split / family / f"{program:03d}-{number:02d}.flac", samples)
                    files += 1
    return files


def song(
    program: int, notes: tuple[int, int], phrases: int, chance: random.Random
) -> tuple[list[float], bytes]:
    """Random phrases for one program, each in a place of its own.

    Returns:
        Seconds of each phrase with the silence behind it, and a Standard MIDI File of 480 ticks a second.
    """
    events: list[tuple[int, bytes]] = [(0, bytes((0xC0, program)))]
    lengths, clock = [], 0
    for _ in range(phrases):
        begin, centre = clock, chance.randint(notes[0] + 5, notes[1] - 5)
        for _ in range(chance.choice((1, 2, 3, 4, 6))):
            long = chance.choice((120, 180, 240, 480, 720))
            for pitch in chance.sample(range(centre - 5, centre + 6), chance.choice((1, 1, 1, 3))):
                loud = chance.randint(60, 120)
                events += [(clock, bytes((0x90, pitch, loud))), (clock + long, bytes((0x80, pitch, 0)))]
            clock += long
        clock += 480  # the sound dies away, half a second is kept
        lengths.append((clock - begin) / 480)
    events.append((clock + 480, b"\xff\x2f\x00"))
    track, last = bytearray(b"\x00\xff\x51\x03" + (1_000_000).to_bytes(3, "big")), 0
    for tick, event in sorted(events, key=lambda pair: pair[0]):
        track += variable(tick - last) + event
        last = tick
    header = b"MThd" + struct.pack(">IHHH", 6, 0, 1, 480)
    return lengths, header + b"MTrk" + struct.pack(">I", len(track)) + bytes(track)


def variable(value: int) -> bytes:
    """A number as MIDI files have it: seven bits a byte, the highest first."""
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.append(0x80 | value & 0x7F)
    return bytes(reversed(parts))


def played(midi: bytes, lengths: list[float]) -> Iterator[object]:
    """Each phrase, (L,) float32 mono, without most of the silence behind it."""
    import soundfile

    with tempfile.TemporaryDirectory() as name:
        score, sound = Path(name) / "song.mid", Path(name) / "song.wav"
        score.write_bytes(midi)
        quiet = ["-ni", "-q", "-R", "0", "-C", "0", "-g", "0.6", "-r", str(RATE)]
        subprocess.run(
            ["fluidsynth", *quiet, "-F", str(sound), str(FONT), str(score)], check=True, capture_output=True
        )
        samples = soundfile.read(sound, dtype="float32", always_2d=True)[0].mean(axis=1)
    begin = 0.0
    for length in lengths:
        first, last = (round(second * RATE) for second in (begin, begin + length - 0.5))
        yield samples[first:last]
        begin += length


def save(file: Path, samples: object) -> None:
    """16-bit FLAC."""
    import soundfile

    soundfile.write(file, samples, RATE, subtype="PCM_16")


if __name__ == "__main__":
    main()
