#!/usr/bin/env python3
"""Makes the two clips the program runs on when it is given none, and the tests with it.

    worker_safety.mp4   a real scene: people crossing a yard, from OpenCV's sample film vtest.avi
    conveyor.mp4        a real photograph of an apple, again and again, on a drawn belt; half of them with painted rot
    conveyor_apples.csv what is on the belt: one line per apple, with its grade and its way through the picture

Needs ffmpeg with libx264 and the packages of models/requirements.txt. The sources are fetched and checked by
models/andon_models/sources.py.
"""

import argparse
import csv
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "models"))
from andon_models import sources  # noqa: E402

# vtest.avi, 10 frames per second: the half minute in which people walk through the right of the yard, leave it for ten
# seconds and come back.
WORKER_FIRST_FRAME, WORKER_FRAMES, WORKER_FPS = 150, 300, 10

WIDTH, HEIGHT, FPS, FRAMES = 640, 480, 25, 750
BELT_TOP, BELT_BOTTOM = 46, 434
SPEED = 4  # belt, pixels per frame: an apple is in the picture for about seven seconds
SEED = 20


@dataclass(frozen=True)
class Apple:
    """One apple on the belt. `enters` is the frame in which its right edge comes into the picture."""

    enters: int
    y: int  # centre, pixels
    size: int  # height, pixels
    degrees: float
    mirrored: bool
    hue: int  # OpenCV hue steps of 2 degrees, towards yellow
    gain: float
    colour: float = 1.0  # saturation
    rot: tuple = ()  # blemishes: (x, y, radius) in shares of the apple, (0, 0) its centre; and a kind

    @property
    def grade(self) -> str:
        return "rotten_apple" if self.rot else "fresh_apple"


APPLES = [
    Apple(12, 214, 204, 17, False, -8, 1.05, 0.90),
    Apple(94, 273, 197, -7, True, -10, 1.09, 0.84, (((-0.01, 0.13), 0.20, "brown"),)),
    Apple(178, 221, 198, -8, True, -8, 1.00, 0.88),
    Apple(262, 260, 207, -25, True, -6, 1.07, 0.80, (((0.17, -0.13), 0.22, "brown"),)),
    Apple(344, 208, 192, 25, False, -6, 0.99, 0.94),
    Apple(426, 276, 200, 2, False, -10, 1.08, 0.87, (((0.12, -0.08), 0.21, "dark"),)),
    Apple(508, 219, 201, 8, False, -11, 1.06, 0.83, (((-0.14, -0.02), 0.21, "mould"), ((0.16, 0.12), 0.14, "brown"))),
    Apple(592, 268, 192, 3, True, -11, 1.02, 0.91),
    Apple(676, 208, 198, 12, True, -9, 1.00, 0.85, (((-0.04, 0.02), 0.22, "brown"),)),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--only", choices=["worker_safety", "conveyor"])
    arguments = parser.parse_args()
    data = sources.opencv_doc_dir()
    if arguments.only != "conveyor":
        encode(arguments.out / "worker_safety.mp4", worker_frames(data), WORKER_FPS, crf=23)
    if arguments.only != "worker_safety":
        scene = Conveyor(cv2.imread(str(data / "apple.jpg")))
        encode(arguments.out / "conveyor.mp4", (scene.frame(index) for index in range(FRAMES)), FPS, crf=23)
        scene.write_truth(arguments.out / "conveyor_apples.csv")


def encode(path: Path, frames, fps: int, crf: int) -> None:
    """H.264 High, 4:2:0, limited range, BT.601, a key frame every two seconds, B-frames as libx264 likes them."""
    command = None
    for frame in frames:
        if command is None:
            height, width = frame.shape[:2]
            command = subprocess.Popen(
                ["ffmpeg", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{width}x{height}",
                 "-r", str(fps), "-i", "-", "-vf", "scale=out_color_matrix=bt601:out_range=tv", "-c:v", "libx264",
                 "-preset", "slow", "-profile:v", "high", "-pix_fmt", "yuv420p", "-crf", str(crf), "-g", str(2 * fps),
                 "-threads", "1", "-colorspace", "smpte170m", "-color_primaries", "smpte170m", "-color_trc",
                 "smpte170m", "-color_range", "tv", "-movflags", "+faststart", "-map_metadata", "-1", "-fflags",
                 "+bitexact", "-flags:v", "+bitexact", str(path)], stdin=subprocess.PIPE)
        command.stdin.write(np.ascontiguousarray(frame).tobytes())
    command.stdin.close()
    if command.wait() != 0:
        raise SystemExit(f"ffmpeg could not encode {path}")
    print(f"{path.name}: {path.stat().st_size} bytes, sha256 {sources.sha256_of(path)}")


def worker_frames(data: Path):
    """The chosen frames of the film, as they are."""
    film = cv2.VideoCapture(str(data / "vtest.avi"))
    for index in range(WORKER_FIRST_FRAME + WORKER_FRAMES):
        more, frame = film.read()
        if not more:
            raise SystemExit(f"vtest.avi ends before frame {index}")
        if index >= WORKER_FIRST_FRAME:
            yield frame


class Conveyor:
    """The drawn scene. `frame(index)` depends on the index alone."""

    def __init__(self, photograph: np.ndarray):
        rng = np.random.default_rng(SEED)
        self._rng_seed = SEED
        cutout, alpha = cut_out_apple(photograph)
        self._apples = [(apple, *place_apple(apple, cutout, alpha, np.random.default_rng([SEED, i])))
                        for i, apple in enumerate(APPLES)]
        self._belt = draw_belt(rng)
        self._rails = draw_rails(rng)
        y, x = np.mgrid[-1:1:HEIGHT * 1j, -1:1:WIDTH * 1j]
        self._light = (1.06 - 0.22 * (x - 0.15) ** 2 - 0.12 * (y + 0.2) ** 2)[..., None].astype(np.float32)

    def frame(self, index: int) -> np.ndarray:
        """BGR picture of one instant."""
        picture = np.roll(self._belt, index * SPEED, axis=1)[:, :WIDTH].copy()
        for apple, part, alpha in self._apples:
            left = (index - apple.enters) * SPEED - part.shape[1]
            if -part.shape[1] < left < WIDTH:
                lay(picture, part, alpha, left, apple.y - part.shape[0] // 2)
        picture = np.where(self._rails[1][..., None] > 0, self._rails[0], picture) * self._light
        picture = cv2.GaussianBlur(picture, (3, 1), 0)  # half a frame's exposure while the belt runs
        picture += np.random.default_rng([self._rng_seed, index]).normal(0, 2.2, (HEIGHT, WIDTH, 1))
        return np.clip(picture, 0, 255).astype(np.uint8)

    def write_truth(self, path: Path) -> None:
        """One line per apple: between the two frames it is wholly in the picture, `x` growing by the belt's speed."""
        with open(path, "w", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow("apple,grade,first_whole_frame,last_whole_frame,x0_at_first,y0,width,height,"
                            "speed_px_per_frame".split(","))
            for number, (apple, part, alpha) in enumerate(self._apples):
                ys, xs = np.where(alpha > 0.5)
                left_gap, right_gap = int(xs.min()), part.shape[1] - 1 - int(xs.max())
                # left edge of the part at frame f: (f - enters) * SPEED - width + left_gap
                first = apple.enters + -(-(part.shape[1] - left_gap) // SPEED)
                last = apple.enters + (WIDTH + right_gap) // SPEED
                x0 = (first - apple.enters) * SPEED - part.shape[1] + left_gap
                y0 = apple.y - part.shape[0] // 2 + int(ys.min())
                writer.writerow([number, apple.grade, first, min(last, FRAMES - 1), x0, y0,
                                 int(xs.max() - xs.min()) + 1, int(ys.max() - ys.min()) + 1, SPEED])


# Outline of the stem in apple.jpg, too thin for the segmentation.
STEM = [(195, 15), (203, 8), (212, 12), (221, 40), (230, 60), (232, 72), (219, 72), (214, 46), (206, 24)]


def cut_out_apple(photograph: np.ndarray):
    """The apple of apple.jpg without its surroundings, float32 BGR, and its alpha."""
    picture = cv2.bilateralFilter(photograph, 7, 30, 7)
    height, width = picture.shape[:2]
    region = np.full((height, width), cv2.GC_BGD, np.uint8)
    cv2.ellipse(region, (252, 270), (232, 240), 0, 0, 360, cv2.GC_PR_BGD, -1)
    cv2.ellipse(region, (252, 275), (195, 205), 0, 0, 360, cv2.GC_PR_FGD, -1)
    cv2.ellipse(region, (252, 260), (150, 150), 0, 0, 360, cv2.GC_FGD, -1)
    cv2.setRNGSeed(1)
    cv2.grabCut(picture, region, None, np.zeros((1, 65)), np.zeros((1, 65)), 6, cv2.GC_INIT_WITH_MASK)
    mask = np.isin(region, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8) * 255
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (25, 25)))
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (81, 81)))
    outline = max(cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=cv2.contourArea)
    mask = cv2.drawContours(np.zeros_like(mask), [outline], -1, 255, cv2.FILLED)
    mask = cv2.erode(mask, np.ones((5, 5), np.uint8))
    cv2.fillPoly(mask, [np.array(STEM)], 255)
    alpha = cv2.GaussianBlur(mask, (0, 0), 2.0).astype(np.float32) / 255
    left, top, wide, high = cv2.boundingRect(mask)
    window = slice(max(top - 6, 0), top + high + 6), slice(max(left - 6, 0), left + wide + 6)
    return cv2.medianBlur(photograph, 3)[window].astype(np.float32), alpha[window]


def place_apple(apple: Apple, cutout: np.ndarray, alpha: np.ndarray, rng):
    """The apple as it lies on the belt: painted, tinted, turned, at its size."""
    hsv = cv2.cvtColor(np.clip(cutout, 0, 255).astype(np.uint8), cv2.COLOR_BGR2HSV).astype(np.int16)
    hsv[..., 0] = (hsv[..., 0] + apple.hue) % 180
    hsv[..., 1] = np.clip(hsv[..., 1] * apple.colour, 0, 255)
    part = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR).astype(np.float32) * apple.gain
    part = paint_rot(part, alpha, apple.rot, rng)
    if apple.mirrored:
        part, alpha = part[:, ::-1], alpha[:, ::-1]
    height, width = alpha.shape
    scale = apple.size / height
    reach = int(np.hypot(height, width) * scale) + 8
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), apple.degrees, scale)
    turn[:, 2] += reach / 2 - np.array([width / 2, height / 2])
    blur = max(0.3, 0.4 / scale)
    part = cv2.warpAffine(cv2.GaussianBlur(part, (0, 0), blur), turn, (reach, reach), borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(cv2.GaussianBlur(alpha, (0, 0), blur), turn, (reach, reach))
    ys, xs = np.where(alpha > 0.02)
    window = slice(ys.min(), ys.max() + 1), slice(xs.min(), xs.max() + 1)
    return part[window], alpha[window]


def lay(picture: np.ndarray, part: np.ndarray, alpha: np.ndarray, left: int, top: int) -> None:
    """Puts a part with its contact shadow on the picture; whatever is outside is cut off."""
    margin = 24
    shadow = cv2.copyMakeBorder(alpha, margin, margin, margin, margin, cv2.BORDER_CONSTANT)
    shadow = cv2.GaussianBlur(np.roll(shadow, (9, 5), (0, 1)), (0, 0), 8) * 0.6
    for cover, x, y in ((shadow, left - margin, top - margin), (alpha, left, top)):
        height, width = cover.shape
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + width, WIDTH), min(y + height, HEIGHT)
        if x0 >= x1 or y0 >= y1:
            continue
        weight = cover[y0 - y:y1 - y, x0 - x:x1 - x, None]
        target = picture[y0:y1, x0:x1]
        if cover is alpha:
            target[:] = target * (1 - weight) + part[y0 - y:y1 - y, x0 - x:x1 - x] * weight
        else:
            target *= 1 - weight


# Flesh under the skin goes tan, brown, then black: rim and middle of a spot, BGR at full light.
ROT = {
    "brown": ((52, 96, 152), (26, 50, 88)),
    "dark": ((30, 52, 84), (12, 20, 32)),
    "mould": ((44, 84, 134), (24, 44, 76)),
}


def paint_rot(part: np.ndarray, alpha: np.ndarray, blemishes: tuple, rng) -> np.ndarray:
    """Rot spots: ragged, soft-edged, tan at the rim and brown inside, sunken, without gloss; some carry mould."""
    height, width = alpha.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)

    def noise(grain):
        field = cv2.GaussianBlur(rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), grain)
        return field / field.std()

    # the skin's own light and shade stay, its gloss does not
    light = cv2.GaussianBlur(cv2.erode(part.max(axis=2), np.ones((15, 15))), (0, 0), 14)
    light = np.clip(light / np.percentile(light[alpha > 0.9], 75), 0.5, 1.05)[..., None]
    result = part.copy()
    for (across, down), radius, kind in blemishes:
        cx, cy, r = width * (0.5 + across), height * (0.5 + down), radius * height
        angle = np.arctan2(y - cy, x - cx)
        lobes = sum(rng.uniform(0.03, 0.10) / k ** 0.5 * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(2, 7))
        distance = np.hypot(x - cx, (y - cy) * rng.uniform(0.95, 1.2)) / (r * (1 + lobes))
        distance += noise(14) * 0.08 + noise(5) * 0.018
        depth = np.clip((1 - distance) / 0.55, 0, 1)[..., None]
        rim, middle = (np.array(colour, np.float32) for colour in ROT[kind])
        flesh = rim * (1 - depth) + middle * depth
        wrinkles = np.sin(distance * 19 + noise(6) * 0.9) * np.clip(1.1 - distance, 0, 1)
        flesh = flesh * (1 + 0.10 * wrinkles + 0.10 * noise(9) + 0.07 * noise(1.8))[..., None] * light
        wall = np.exp(-((distance - 0.88) / 0.10) ** 2)  # lit from the upper left: the near wall lies in the shade
        flesh = flesh * (1 + 0.22 * np.cos(angle + 2.2) * wall)[..., None]
        if kind == "mould":
            spores = np.clip(noise(3.0) - 0.3 + 0.5 * noise(9), 0, 1.2) * np.clip((0.85 - distance) / 0.3, 0, 1)
            flesh += (np.array([168, 186, 188], np.float32) * light - flesh) * np.clip(spores, 0, 0.9)[..., None]
        browning = np.clip((1.28 - distance) / 0.28, 0, 1)[..., None] ** 2 * alpha[..., None] * 0.55
        result = result * (1 - browning) + np.array([44, 88, 160], np.float32) * light * browning
        cover = (np.clip((1.02 - distance) / 0.13, 0, 1) * alpha)[..., None]
        result = result * (1 - cover) + flesh * cover
    return np.clip(result, 0, 255)


def draw_belt(rng) -> np.ndarray:
    """One turn of belt, seamless, `[480, length, 3]`: rubber weave, wear along it, a seam."""
    length = 1280
    coarse = rng.normal(0, 1, (HEIGHT, length)).astype(np.float32)
    wrapped = np.concatenate([coarse, coarse, coarse], axis=1)
    fine = cv2.GaussianBlur(wrapped, (0, 0), 1.0)[:, length:2 * length]
    stain = cv2.GaussianBlur(wrapped, (0, 0), 22)[:, length:2 * length]
    wear = cv2.GaussianBlur(rng.normal(0, 1, (HEIGHT, 1)).astype(np.float32), (1, 0), sigmaX=0.01, sigmaY=6)
    y, x = np.mgrid[:HEIGHT, :length]
    weave = np.cos(2 * np.pi * x / 8) * np.cos(2 * np.pi * y / 8)
    level = 78 + fine * 14 + stain / stain.std() * 5 + wear / wear.std() * 3 + weave * 4
    for seam in (200, 840):
        level[:, seam:seam + 3] -= 22
        level[:, seam + 3:seam + 4] += 16
    for _ in range(40):
        start, row, run = rng.integers(length), rng.integers(BELT_TOP, BELT_BOTTOM), rng.integers(10, 60)
        level[row, np.arange(start, start + run) % length] += rng.uniform(-14, 16)
    return level[..., None] * np.array([1.02, 1.0, 0.96], np.float32)


def draw_rails(rng):
    """The machine's frame above and below the belt: picture and mask."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    brushed = cv2.GaussianBlur(rng.normal(0, 1, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), sigmaX=14, sigmaY=0.5)
    for top, bottom in ((0, BELT_TOP), (BELT_BOTTOM, HEIGHT)):
        rows = np.linspace(-1, 1, bottom - top)
        picture[top:bottom] = (150 + 30 * np.cos(rows * 2.4))[:, None, None] + brushed[top:bottom, :, None] * 40
        mask[top:bottom] = 255
        for x in range(50, WIDTH, 180):
            middle = (top + bottom) // 2
            cv2.circle(picture, (x, middle), 7, (95, 95, 95), -1, cv2.LINE_AA)
            cv2.circle(picture, (x, middle), 5, (175, 175, 175), -1, cv2.LINE_AA)
            cv2.line(picture, (x - 3, middle - 2), (x + 3, middle + 2), (80, 80, 80), 1, cv2.LINE_AA)
    picture[BELT_TOP - 4:BELT_TOP] *= 0.45
    picture[BELT_BOTTOM:BELT_BOTTOM + 4] *= 0.45
    return picture, mask


if __name__ == "__main__":
    main()
