"""MDGen's network in PyTorch, written from the publication (Jing et al., NeurIPS 2024) for `compare_torch.py`.

As the published program computes it: rotary attention with a learned extra key writes its scores out (`fused`
gives it PyTorch's scaled_dot_product_attention instead), Hyena has as many taps as frames.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

WIDTH, LAYERS, HEADS, RESIDUES, TOKEN = 384, 5, 16, 4, 21
POINT_HEADS, POINT_HIDDEN, POINTS = 4, 32, 8


def norm(width):
    return nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)


def modulate(x, shift, scale):
    return x * (1 + scale) + shift


class Modulation(nn.Sequential):
    def __init__(self, count):
        super().__init__(nn.SiLU(), nn.Linear(WIDTH, count * WIDTH))
        self.count = count

    def parts(self, time, rank):
        return self(time).view(len(time), *[1] * (rank - 2), -1).chunk(self.count, -1)


class Attention(nn.Module):
    """Over the second axis of [N, K, C]; mask [N, K]."""

    def __init__(self, fused):
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.extra = nn.Parameter(torch.randn(2, 1, 1, WIDTH) / math.sqrt(WIDTH))
        self.fused = fused

    @staticmethod
    def turn(x):
        depth = x.shape[-1]
        rates = 10000.0 ** (-torch.arange(0, depth, 2) / depth)
        angles = torch.outer(torch.arange(x.shape[-2]), rates).repeat(1, 2)
        first, second = x.chunk(2, -1)
        return x * angles.cos() + torch.cat([-second, first], -1) * angles.sin()

    def forward(self, x, mask):
        n, count, _ = x.shape
        depth = WIDTH // HEADS
        longer = [torch.cat([layer(x), row.expand(n, 1, WIDTH)], 1) for layer, row in zip([self.k, self.v], self.extra)]
        mask = F.pad(mask, (0, 1), value=1.0)[:, None, None] > 0
        heads = lambda x: x.view(n, -1, HEADS, depth).transpose(1, 2)
        q, k, v = heads(self.q(x) / math.sqrt(depth)), heads(longer[0]), heads(longer[1])
        q, k = self.turn(q), self.turn(k)
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)
        else:
            scores = (q @ k.transpose(-2, -1)).masked_fill(~mask, -math.inf)
            y = scores.softmax(-1, dtype=torch.float32) @ v
        return self.out(y.transpose(1, 2).reshape(n, count, WIDTH))


class Hyena(nn.Module):
    def __init__(self, frames):
        super().__init__()
        self.enter, self.leave = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.short = nn.Conv1d(3 * WIDTH, 3 * WIDTH, 3, padding=2, groups=3 * WIDTH)
        steps = torch.arange(frames) / max(frames - 1, 1)
        turn = 1e-4 * 2 * math.pi * torch.arange(frames) / frames
        self.features = nn.Parameter(torch.stack([steps, turn.cos(), -turn.sin()], 1))
        self.layers = nn.ModuleList([nn.Linear(3, 64), nn.Linear(64, 64), nn.Linear(64, 64)])
        self.frequency = nn.Parameter(torch.ones(1, 64))
        self.last = nn.Linear(64, WIDTH, bias=False)
        self.bias = nn.Parameter(torch.randn(WIDTH))
        rates = torch.linspace(math.log(0.01) / 1.5, math.log(0.01) / 0.3, WIDTH).abs()
        self.register_buffer("decay", (-steps[:, None] * rates).exp())

    def forward(self, x, _mask):
        frames = x.shape[1]
        first, gate, value = self.short(self.enter(x).transpose(1, 2))[..., :frames].chunk(3, 1)
        h = self.features
        for layer in self.layers:
            h = torch.sin(self.frequency * layer(h))
        taps = (self.last(h) * self.decay).T
        u = gate * value
        spectrum = torch.fft.rfft(u, n=2 * frames) * torch.fft.rfft(taps, n=2 * frames)
        y = torch.fft.irfft(spectrum, n=2 * frames)[..., frames - 1 : 2 * frames - 1]
        return self.leave((first * (y + u * self.bias[:, None])).transpose(1, 2))


class PointAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.kv = nn.Linear(WIDTH, POINT_HEADS * POINT_HIDDEN), nn.Linear(WIDTH, 2 * POINT_HEADS * POINT_HIDDEN)
        self.q_points = nn.Linear(WIDTH, 3 * POINT_HEADS * POINTS)
        self.kv_points = nn.Linear(WIDTH, 6 * POINT_HEADS * POINTS)
        self.weight = nn.Parameter(torch.full((POINT_HEADS,), 0.5413))
        self.out = nn.Linear(POINT_HEADS * (POINT_HIDDEN + 4 * POINTS), WIDTH)

    def forward(self, s, rotation, translation, mask):
        b, n, _ = s.shape
        q = self.q(s).view(b, n, POINT_HEADS, -1)
        k, v = self.kv(s).view(b, n, POINT_HEADS, -1).chunk(2, -1)

        def in_space(x):
            local = x.view(b, n, 3, -1).transpose(2, 3)
            return (local @ rotation.transpose(2, 3) + translation[:, :, None]).view(b, n, POINT_HEADS, -1, 3)

        q_points = in_space(self.q_points(s))
        k_points, v_points = in_space(self.kv_points(s)).chunk(2, 3)
        scores = torch.einsum("bihc,bjhc->bhij", q, k) * math.sqrt(1 / (3 * POINT_HIDDEN))
        square = (q_points[:, :, None] - k_points[:, None]).pow(2).sum((-1, -2)).permute(0, 3, 1, 2)
        weight = F.softplus(self.weight) * math.sqrt(1 / (3 * POINTS * 9 / 2))
        scores = scores - 0.5 * weight[:, None, None] * square + 1e5 * (mask[:, None, :, None] * mask[:, None, None] - 1)
        a = scores.softmax(-1)
        o = torch.einsum("bhij,bjhc->bihc", a, v).reshape(b, n, -1)
        places = torch.einsum("bhij,bjhpx->bihpx", a, v_points).reshape(b, n, -1, 3)
        places = (places - translation[:, :, None]) @ rotation
        lengths = (places.pow(2).sum(-1) + 1e-8).sqrt()
        return self.out(torch.cat([o, *places.unbind(-1), lengths], -1))


def wide(width=4 * WIDTH):
    return nn.Sequential(nn.Linear(WIDTH, width), nn.GELU(), nn.Linear(width, WIDTH))


class PointLayer(nn.Module):
    def __init__(self, fused):
        super().__init__()
        self.modulation, self.first = Modulation(6), nn.LayerNorm(WIDTH)
        self.points, self.attention, self.mlp, self.norm = PointAttention(), Attention(fused), wide(), norm(WIDTH)

    def forward(self, s, time, rotation, translation, mask):
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation.parts(time, 3)
        s = s + self.points(self.first(s), rotation, translation, mask)
        s = s + gate1 * self.attention(modulate(self.norm(s), shift1, scale1), mask)
        return s + gate2 * self.mlp(modulate(self.norm(s), shift2, scale2))


class Block(nn.Module):
    def __init__(self, frames, hyena, fused):
        super().__init__()
        self.modulation, self.norm, self.mlp = Modulation(9), norm(WIDTH), wide()
        self.residues = Attention(fused)
        self.time = Hyena(frames) if hyena else Attention(fused)

    def forward(self, h, time, mask):
        b, t, l, c = h.shape
        parts = self.modulation.parts(time, 4)
        x = modulate(self.norm(h), parts[0], parts[1]).reshape(b * t, l, c)
        h = h + parts[2] * self.residues(x, mask[:, None].expand(b, t, l).reshape(b * t, l)).view(b, t, l, c)
        x = modulate(self.norm(h), parts[3], parts[4]).transpose(1, 2).reshape(b * l, t, c)
        y = self.time(x, mask[..., None].expand(b, l, t).reshape(b * l, t))
        h = h + parts[5] * y.view(b, l, t, c).transpose(1, 2)
        return h + parts[8] * self.mlp(modulate(self.norm(h), parts[6], parts[7]))


class Network(nn.Module):
    def __init__(self, frames, hyena, fused):
        super().__init__()
        self.enter, self.given = nn.Linear(TOKEN, WIDTH), nn.Linear(TOKEN, WIDTH)
        self.marks, self.types = nn.Embedding(2, WIDTH), nn.Embedding(21, WIDTH)
        self.time = nn.Sequential(nn.Linear(256, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH))
        self.points = nn.ModuleList(PointLayer(fused) for _ in range(LAYERS))
        self.blocks = nn.ModuleList(Block(frames, hyena, fused) for _ in range(LAYERS))
        self.modulation, self.norm, self.leave = Modulation(2), norm(WIDTH), nn.Linear(WIDTH, TOKEN)
        half = WIDTH // 2
        angles = torch.outer(torch.arange(RESIDUES), 10000.0 ** (-torch.arange(half) / half))
        self.register_buffer("positions", torch.cat([angles.sin(), angles.cos()], 1))

    def forward(self, x, t, given, is_given, types, mask, rotation, translation):
        angles = torch.outer(100 * t, 10000.0 ** (-torch.arange(128) / 128))
        time = self.time(torch.cat([angles.cos(), angles.sin()], 1))
        h = self.enter(x) + self.positions + self.given(given) + self.marks(is_given)
        s = self.types(types)
        for layer in self.points:
            s = layer(s, time, rotation, translation, mask)
        h = h + s[:, None]
        for block in self.blocks:
            h = block(h, time, mask)
        shift, scale = self.modulation.parts(time, 4)
        return self.leave(modulate(self.norm(h), shift, scale))


def inputs(batch, frames):
    is_given = torch.zeros(batch, frames, RESIDUES, dtype=torch.long)
    is_given[:, 0] = 1
    types = torch.arange(batch * RESIDUES).view(batch, RESIDUES) % 20
    return dict(
        given=torch.randn(batch, frames, RESIDUES, TOKEN),
        is_given=is_given,
        types=types,
        mask=torch.ones(batch, RESIDUES),
        rotation=torch.eye(3).expand(batch, RESIDUES, 3, 3),
        translation=torch.randn(batch, RESIDUES, 3),
    )


def training(batch, frames, hyena, fused, adam_options):
    """A function that runs one training step and returns its loss."""
    network = Network(frames, hyena, fused)
    adam = torch.optim.Adam(network.parameters(), lr=1e-4, **adam_options)
    told, tokens = inputs(batch, frames), torch.randn(batch, frames, RESIDUES, TOKEN)
    mask = torch.ones(batch, 1, RESIDUES, TOKEN)

    def step():
        adam.zero_grad()
        t = torch.rand(batch)
        a, s = (math.pi / 2 * t).sin().view(-1, 1, 1, 1), (math.pi / 2 * t).cos().view(-1, 1, 1, 1)
        noise = torch.randn_like(tokens)
        velocity = network(a * tokens + s * noise, t, **told)
        wanted = math.pi / 2 * (s * tokens - a * noise)
        loss = (((velocity - wanted) ** 2 * mask).sum((1, 2, 3)) / (mask.sum((1, 2, 3)) * frames)).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        adam.step()
        return loss.item()

    return step


def forward(frames, hyena, fused):
    """A function that evaluates the velocity of one trajectory."""
    network = Network(frames, hyena, fused).eval()
    told, x, t = inputs(1, frames), torch.randn(1, frames, RESIDUES, TOKEN), torch.tensor([0.4])

    def step():
        with torch.inference_mode():
            return network(x, t, **told).sum().item()

    return step
