"""Training and test pictures for the classifier: a cut-out part, set into a scene, seen through a camera.

The program hands the classifier a crop: the detector's box from the full frame, squeezed to the network's square. The
photographs at hand show parts on white paper. So that neither paper, nor framing, nor sharpness becomes a feature, each
sample goes through

    photograph → spin, mirror, colour → blemish? → scene of its own → light → crop around the part → camera

Every class goes through the same steps with the same odds. Everything is drawn from the generator passed in.
"""

from pathlib import Path

import cv2
import numpy as np

SIZE = 224


class Backgrounds:
    """Things a part may lie on. `pictures` are backgrounds by photograph, besides the drawn ones."""

    KINDS = ("belt", "belt", "belt", "dark", "wood", "noise", "smooth", "white", "picture", "picture")

    def __init__(self, pictures: list[np.ndarray]) -> None:
        self._pictures = pictures

    @staticmethod
    def read(directory: Path) -> "Backgrounds":
        """OpenCV's sample pictures, those without fruit."""
        names = (
            "board.jpg home.jpg building.jpg stuff.jpg rubberwhale1.png aloeL.jpg leuvenA.jpg graf1.png "
            "box_in_scene.png left01.jpg right05.jpg baboon.jpg chicky_512.png ml.png blox.jpg sudoku.png"
        ).split()
        pictures = [cv2.imread(str(directory / name)) for name in names]
        return Backgrounds([picture for picture in pictures if picture is not None])

    def draw(self, rng: np.random.Generator, side: int, kind: str | None = None) -> np.ndarray:
        """A square BGR float32 background, of the kind asked for or of a random one."""
        kind = kind or rng.choice(self.KINDS)
        if kind == "picture" and self._pictures:
            picture = self._pictures[rng.integers(len(self._pictures))]
            height, width = picture.shape[:2]
            edge = int(min(height, width) * rng.uniform(0.3, 0.9))
            top, left = rng.integers(height - edge + 1), rng.integers(width - edge + 1)
            patch = cv2.resize(
                picture[top : top + edge, left : left + edge], (side, side), interpolation=cv2.INTER_AREA
            )
            return patch.astype(np.float32) * rng.uniform(0.4, 1.1)
        level = {"dark": rng.uniform(2, 45), "white": rng.uniform(205, 252), "wood": rng.uniform(80, 190)}.get(
            kind, rng.uniform(35, 200)
        )
        tint = rng.normal(0, {"belt": 6, "dark": 4, "white": 4, "noise": 25, "smooth": 45}.get(kind, 8), 3)
        if kind == "wood":
            tint = np.array([-45.0, -8.0, 30.0]) * rng.uniform(0.4, 1.2)
        surface = np.zeros((side, side, 3), np.float32) + level + tint.astype(np.float32)
        grain = clouds(rng, side, rng.uniform(1, 3) if kind != "wood" else 1.5, stretch=12 if kind == "wood" else 1)
        surface += grain[..., None] * {"belt": rng.uniform(2, 14), "noise": rng.uniform(15, 45), "wood": 18}.get(
            kind, 3
        )
        surface += clouds(rng, side, side / 5)[..., None] * rng.uniform(2, 14)
        if kind == "belt":
            _draw_belt_marks(rng, surface)
        return surface


def clouds(rng: np.random.Generator, side: int, grain: float, stretch: float = 1) -> np.ndarray:
    """Smooth random field `[side, side]`, mean 0 and deviation 1; `grain` is its feature size in pixels."""
    coarse = max(4, int(np.ceil(side / grain)) + 3), max(4, int(np.ceil(side / (grain * stretch))) + 3)
    field = cv2.resize(rng.normal(0, 1, coarse).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    field -= field.mean()
    return field / (field.std() + 1e-6)


def sample(
    rng: np.random.Generator,
    pixels: np.ndarray,
    mask: np.ndarray | None,
    backgrounds: Backgrounds,
    blemish: bool,
    kind: str | None = None,
    vary: bool = True,
) -> np.ndarray:
    """One classifier input, `[224, 224, 3]` uint8 RGB.

    Without a mask the photograph keeps its own surroundings. `vary=False` leaves the part itself as it was photographed
    and changes the scene and the camera only.
    """
    if mask is None:
        canvas, box = pixels.astype(np.float32), (0, 0, pixels.shape[1], pixels.shape[0])
        if vary:
            canvas = _light(rng, _recolour(rng, canvas))
        if rng.random() < 0.5:
            canvas = np.ascontiguousarray(canvas[:, ::-1])
    else:
        part, alpha = _pose(rng, pixels, mask, vary)
        if vary:
            part = _recolour(rng, part)
        if blemish:
            part = paint_blemishes(rng, part, alpha)
        elif vary and rng.random() < 0.6:
            part = _harmless_marks(rng, part, alpha)
        canvas, box = _compose(rng, part, alpha, backgrounds, kind)
        canvas = _light(rng, canvas)
    return _camera(rng, _crop(rng, canvas, box))


def paint_blemishes(rng: np.random.Generator, part: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Rot as a grader would see it: soft brown areas with a ragged edge, some sunken, some mouldy, one or several."""
    side = part.shape[0]
    ys, xs = np.where(alpha > 0.95)
    if len(xs) < 100:
        return part
    extent = np.sqrt(len(xs) / np.pi) * 2
    y, x = np.mgrid[:side, :side].astype(np.float32)
    result = part.copy()
    inside = cv2.GaussianBlur(alpha, (0, 0), 1.0)
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 4])):
        pick = rng.integers(len(xs))
        radius = extent * rng.uniform(0.09, 0.27)
        angle, ratio = rng.uniform(0, np.pi), rng.uniform(0.6, 1.0)
        u = (x - xs[pick]) * np.cos(angle) + (y - ys[pick]) * np.sin(angle)
        v = (-(x - xs[pick]) * np.sin(angle) + (y - ys[pick]) * np.cos(angle)) / ratio
        edge = radius * (1 + 0.16 * clouds(rng, side, radius * 0.7) + 0.05 * clouds(rng, side, radius * 0.2))
        softness = radius * rng.uniform(0.04, 0.25)
        cover = np.clip((edge - np.hypot(u, v)) / softness, 0, 1) * inside
        # the skin browns and darkens: it keeps part of its own shading
        shade = result.mean(axis=2, keepdims=True) / (result[alpha > 0.95].mean() + 1e-3)
        brown = np.array(_ROT_COLOURS[rng.integers(len(_ROT_COLOURS))], np.float32) * rng.uniform(0.75, 1.25)
        texture = 1 + 0.10 * clouds(rng, side, radius * 0.25) + 0.06 * clouds(rng, side, 2)
        rotten = brown * (0.35 + 0.65 * np.clip(shade, 0.3, 1.4)) * texture[..., None]
        ring = np.exp(-(((np.hypot(u, v) - edge * rng.uniform(0.7, 0.95)) / (radius * 0.12)) ** 2))
        rotten *= (1 - rng.uniform(0, 0.35) * ring)[..., None]
        if rng.random() < 0.3:  # mould: pale tufts in the middle
            tufts = np.clip(clouds(rng, side, rng.uniform(2, 5)) - rng.uniform(0.2, 0.9), 0, 1)
            tufts *= np.hypot(u, v) < edge * rng.uniform(0.4, 0.9)
            pale = np.array([190, 205, 205], np.float32) * rng.uniform(0.7, 1.1)
            rotten += (pale - rotten) * np.clip(tufts, 0, 1)[..., None]
        strength = (cover * rng.uniform(0.72, 1.0))[..., None]
        result = result * (1 - strength) + rotten * strength
    return np.clip(result, 0, 255)


# BGR: from the tan of a fresh bruise to the near-black of brown rot.
_ROT_COLOURS = [(40, 75, 125), (30, 58, 100), (25, 45, 78), (22, 33, 52), (45, 85, 140), (18, 24, 36), (50, 80, 105)]


def _pose(rng: np.random.Generator, pixels: np.ndarray, mask: np.ndarray, vary: bool) -> tuple[np.ndarray, np.ndarray]:
    """The part alone on a square, turned, mirrored and stretched a little: BGR float32 and alpha 0..1."""
    side = 240
    ys, xs = np.where(mask > 0)
    if vary and rng.random() < 0.5:  # without stem and leaf: they say nothing about the fruit
        reach = int(np.sqrt(len(xs) / np.pi) * 0.55)
        body = cv2.morphologyEx(mask, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
        if np.count_nonzero(body) > 0.6 * len(xs):
            mask = body
            ys, xs = np.where(mask > 0)
    centre = ((xs.min() + xs.max()) / 2, (ys.min() + ys.max()) / 2)
    reach = float(np.hypot(xs - centre[0], ys - centre[1]).max())
    turn = cv2.getRotationMatrix2D(centre, rng.uniform(0, 360), side * 0.48 / reach)
    turn[:, 2] += side / 2 - np.array(centre)
    stretch = np.diag([rng.uniform(0.85, 1.0), rng.uniform(0.85, 1.0), 1.0]) if vary else np.eye(3)
    stretch[:2, 2] = side / 2 * (1 - stretch.diagonal()[:2])
    turn = stretch[:2, :2] @ turn + stretch[:2, 2:] * [0, 0, 1]
    part = cv2.warpAffine(pixels, turn, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(mask, turn, (side, side), flags=cv2.INTER_LINEAR).astype(np.float32) / 255
    if rng.random() < 0.5:
        part, alpha = part[:, ::-1], alpha[:, ::-1]
    return np.ascontiguousarray(part, np.float32), cv2.GaussianBlur(alpha, (0, 0), 0.8)


def _recolour(rng: np.random.Generator, part: np.ndarray) -> np.ndarray:
    """Another light and another camera's white balance. Hue moves by a dozen degrees: varieties differ by more."""
    hsv = cv2.cvtColor(np.clip(part, 0, 255).astype(np.uint8), cv2.COLOR_BGR2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + rng.normal(0, 6)) % 180
    hsv[..., 1] *= rng.uniform(0.6, 1.35)
    hsv = np.clip(hsv, 0, [179, 255, 255]).astype(np.uint8)
    part = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR).astype(np.float32) * rng.uniform(0.87, 1.13, 3).astype(np.float32)
    part = 255 * np.power(np.clip(part, 0, 255) / 255, rng.uniform(0.7, 1.45)) * rng.uniform(0.65, 1.12)
    return np.clip(part, 0, 255)


def _harmless_marks(rng: np.random.Generator, part: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """What fresh and rotten parts show alike: a highlight, lenticels, the part's own shadow, uneven light and grain."""
    side = part.shape[0]
    y, x = np.mgrid[:side, :side].astype(np.float32)
    kind = rng.integers(4)
    if kind == 0:
        where = rng.uniform(0.3, 0.7, 2) * side
        glow = np.exp(-(((x - where[0]) / rng.uniform(4, 20)) ** 2 + ((y - where[1]) / rng.uniform(4, 20)) ** 2))
        part = part + glow[..., None] * rng.uniform(60, 200)
    elif kind == 1:
        for _ in range(rng.integers(5, 60)):
            spot = tuple(int(v) for v in rng.integers(0, side, 2))
            colour = [float(v) for v in part[spot[1], spot[0]] * rng.uniform(0.6, 1.4)]
            cv2.circle(part, spot, int(rng.integers(1, 3)), colour, -1)
    elif kind == 2:
        edge = (x - rng.uniform(0.2, 0.9) * side) * rng.choice([-1, 1]) / rng.uniform(8, 40)
        part = part * (1 - rng.uniform(0.2, 0.65) / (1 + np.exp(-np.clip(edge, -30, 30))))[..., None]
    else:
        shade = 1 + rng.uniform(0.05, 0.25) * clouds(rng, side, side / rng.uniform(2, 5))
        part = part * shade[..., None] + rng.normal(0, rng.uniform(2, 14), part.shape)
    return np.clip(part, 0, 255)


def _compose(
    rng: np.random.Generator, part: np.ndarray, alpha: np.ndarray, backgrounds: Backgrounds, kind: str | None
) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """The part with its shadow on a background twice its size; returns the scene and the part's box."""
    side = part.shape[0]
    wide = side * 2
    scene = backgrounds.draw(rng, wide, kind)
    top = left = side // 2
    cover = np.zeros((wide, wide), np.float32)
    cover[top : top + side, left : left + side] = alpha
    if rng.random() < 0.7:
        shift = np.float32([[1, 0, rng.uniform(-14, 14)], [0, 1, rng.uniform(0, 16)]])
        shadow = cv2.GaussianBlur(cv2.warpAffine(cover, shift, (wide, wide)), (0, 0), rng.uniform(3, 14))
        scene *= (1 - shadow * rng.uniform(0.1, 0.6))[..., None]
    window = scene[top : top + side, left : left + side]
    window[:] = window * (1 - alpha[..., None]) + part * alpha[..., None]
    if rng.random() < 0.2:  # a neighbour looks in: the same part again, so that the label stays true
        away = rng.choice([-1, 1]) * side * rng.uniform(0.75, 1.0)
        move = np.float32([[1, 0, away], [0, 1, rng.uniform(-0.5, 0.5) * side]])
        other = cv2.warpAffine(cover, move, (wide, wide)) * (1 - cover)
        full = np.zeros_like(scene)
        full[top : top + side, left : left + side] = part
        full = cv2.warpAffine(full, move, (wide, wide), borderMode=cv2.BORDER_REPLICATE)
        scene = scene * (1 - other[..., None]) + full * other[..., None]
    ys, xs = np.where(cover > 0.5)
    return scene, (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)


def _light(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """Uneven light over the scene."""
    if rng.random() < 0.5:
        height, width = canvas.shape[:2]
        angle = rng.uniform(0, 2 * np.pi)
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        canvas = canvas * (1 + rng.uniform(0, 0.3) * (x * np.cos(angle) + y * np.sin(angle)))[..., None]
    return np.clip(canvas, 0, 255).astype(np.float32)


def _crop(rng: np.random.Generator, canvas: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """What a detector's box cuts out: each side off by -8 % to +22 % of the part, as far as the canvas goes."""
    height, width = canvas.shape[:2]
    left, top, right, bottom = box
    dx, dy = (right - left) * rng.uniform(-0.08, 0.22, 2), (bottom - top) * rng.uniform(-0.08, 0.22, 2)
    x0, x1 = max(0, int(left - dx[0])), min(width, int(right + dx[1]))
    y0, y1 = max(0, int(top - dy[0])), min(height, int(bottom + dy[1]))
    return canvas[y0:y1, x0:x1]


def _camera(rng: np.random.Generator, crop: np.ndarray) -> np.ndarray:
    """Resolution, motion blur, sensor noise and compression; then the network's square, RGB."""
    across = int(np.exp(rng.uniform(np.log(56), np.log(260))))  # pixels the part has in the frame
    scale = across / max(crop.shape[:2])
    size = max(8, int(crop.shape[1] * scale)), max(8, int(crop.shape[0] * scale))
    crop = cv2.resize(crop, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    if rng.random() < 0.4:
        length = int(rng.integers(2, max(3, across // 22) + 1))
        kernel = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1 / length
        crop = cv2.filter2D(crop, -1, kernel if rng.random() < 0.7 else kernel.T)
    elif rng.random() < 0.3:
        crop = cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.4, 1.4))
    if rng.random() < 0.6:
        crop = crop + rng.normal(0, rng.uniform(1, 9), crop.shape)
    crop = np.clip(crop, 0, 255).astype(np.uint8)
    if rng.random() < 0.75:
        _, stored = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(18, 92))])
        crop = cv2.imdecode(stored, cv2.IMREAD_COLOR)
    return cv2.cvtColor(cv2.resize(crop, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR), cv2.COLOR_BGR2RGB)


def _draw_belt_marks(rng: np.random.Generator, surface: np.ndarray) -> None:
    """Ribs or seams across the belt, and scratches along it."""
    side = surface.shape[0]
    axis = np.arange(side)
    if rng.random() < 0.6:
        ribs = np.sin(axis * 2 * np.pi / rng.uniform(8, 60) + rng.uniform(0, 6)) * rng.uniform(1, 14)
        surface += (ribs[None, :, None] if rng.random() < 0.5 else ribs[:, None, None]).astype(np.float32)
    for _ in range(rng.integers(0, 6)):
        row = int(rng.integers(side))
        surface[row : row + int(rng.integers(1, 3))] += rng.uniform(-18, 18)
