"""CryoDyna's residue stage in PyTorch, written from the publication for `compare_torch.py`.

The published network and losses on a graph of the sizes of adenylate kinase's, with random edges: Gaussians of all
atoms over all pixels as one matrix product an image, whole complex transforms. Each list of edges is padded to one
length, which is faster than the segments of a graph library. Images are not shifted.
"""

import torch
from torch import nn
from torch.nn import functional as F

RESIDUES, BLOCKS, NEIGHBOURS, LINKS = 214, 30, 16, 1040
CONNECTED, ELASTIC, CLASHING = 213, 2500, 2958
WIDTH, HEADS, LATENT = 32, 4, 64
SIDE, BATCH, SIGMA = 128, 64, 2.0
KEEP, LEAST = 0.99, 4.0


class Across(nn.Module):
    """Attention of each image to all of the batch, heads of the output's width averaged."""

    def __init__(self, width):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(width, HEADS * width) for _ in range(3))
        self.skip = nn.Linear(width, width)

    def forward(self, x):
        heads = lambda y: y.view(len(x), HEADS, -1).transpose(0, 1)
        q, k, v = heads(self.q(x)), heads(self.k(x)), heads(self.v(x))
        shares = F.dropout((q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(-1), 0.2)
        return (shares @ v).mean(0) + self.skip(x)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        widths = [SIDE * SIDE, 512, 256, 128]
        blocks = [[nn.Linear(a, b), nn.SiLU(), nn.LayerNorm(b)] for a, b in zip(widths, widths[1:])]
        self.layers = nn.Sequential(*sum(blocks, []), Across(128), nn.LayerNorm(128), nn.Linear(128, LATENT))

    def forward(self, images):
        return self.layers(images)


class GraphAttention(nn.Module):
    """GATv2 of blocks [B, blocks, C]."""

    def __init__(self, sources, weights):
        super().__init__()
        self.of_source, self.of_target = nn.Linear(WIDTH, HEADS * WIDTH), nn.Linear(WIDTH, HEADS * WIDTH)
        self.of_edge = nn.Parameter(torch.randn(HEADS, WIDTH))
        self.att, self.bias = nn.Parameter(torch.randn(HEADS, WIDTH)), nn.Parameter(torch.zeros(WIDTH))
        self.sources, self.weights = sources, weights[..., None, None]

    def forward(self, m):
        heads = lambda y: y.view(len(m), BLOCKS, HEADS, WIDTH)
        messages = heads(self.of_source(m))[:, self.sources]
        felt = messages + heads(self.of_target(m))[:, :, None] + self.weights * self.of_edge
        shares = (F.leaky_relu(felt, 0.2) * self.att).sum(-1).softmax(2)
        return (messages * shares[..., None]).sum(2).mean(2) + self.bias


def mlp(inputs):
    return nn.Sequential(nn.Linear(inputs, WIDTH), nn.ELU(), nn.Linear(WIDTH, WIDTH))


class Round(nn.Module):
    def __init__(self, graph):
        super().__init__()
        self.graph = graph
        self.first, self.own, self.other, self.fuse = mlp(WIDTH + 3), mlp(2 * WIDTH + 3), mlp(2 * WIDTH + 3), mlp(WIDTH)
        self.attention = GraphAttention(graph["sources"], graph["weights"])

    def forward(self, h):
        g = self.graph
        all_images = lambda x: x.expand(len(h), -1, -1)
        h = self.first(torch.cat([h, all_images(g["to_centroid"])], -1))
        sums = h.new_zeros(len(h), BLOCKS, WIDTH).index_add(1, g["block_of"], h)
        m = self.attention(sums / g["sizes"][:, None])
        mine = m[:, g["block_of"]]
        own = self.own(torch.cat([h, mine, all_images(-g["to_centroid"])], -1)) * mine
        theirs = m[:, g["link_from"]]
        others = self.other(torch.cat([h[:, g["link_to"]], theirs, all_images(g["link_vectors"])], -1)) * theirs
        others = torch.zeros_like(h).index_add(1, g["link_to"], others) / g["link_counts"][:, None]
        return self.fuse(h + own + others)


class Decoder(nn.Module):
    def __init__(self, graph):
        super().__init__()
        self.enter = nn.Linear(LATENT, RESIDUES * WIDTH)
        self.rounds = nn.Sequential(Round(graph), Round(graph))
        layers = [layer for _ in range(3) for layer in (nn.Linear(WIDTH, WIDTH), nn.ELU())]
        self.head = nn.Sequential(*layers, nn.Linear(WIDTH, 3))

    def forward(self, z):
        return self.head(self.rounds(self.enter(z).view(len(z), RESIDUES, WIDTH)))


def random_graph():
    block_of = torch.arange(RESIDUES) * BLOCKS // RESIDUES
    link_to = torch.arange(LINKS) * RESIDUES // LINKS
    return dict(
        sources=torch.randint(BLOCKS, (BLOCKS, NEIGHBOURS)),
        weights=10 + 10 * torch.rand(BLOCKS, NEIGHBOURS),
        block_of=block_of,
        sizes=block_of.bincount(minlength=BLOCKS),
        to_centroid=3 * torch.randn(RESIDUES, 3),
        link_to=link_to,
        link_from=torch.randint(BLOCKS, (LINKS,)),
        link_vectors=10 * torch.randn(LINKS, 3),
        link_counts=link_to.bincount(minlength=RESIDUES),
    )


def training(adam_options):
    """A function that runs one training step and returns its loss."""
    encoder, decoder = Encoder(), Decoder(random_graph())
    parameters = [*encoder.parameters(), *decoder.parameters()]
    adam = torch.optim.AdamW(parameters, lr=1e-4, **adam_options)
    reference, electrons = 15 * torch.randn(RESIDUES, 3), torch.full((RESIDUES,), 50.0)
    axis = torch.arange(SIDE) - float(SIDE // 2)
    mask = torch.ones(SIDE, SIDE)
    pairs = {
        "connected": torch.stack([torch.arange(CONNECTED), torch.arange(CONNECTED) + 1]),
        "elastic": torch.randint(RESIDUES, (2, ELASTIC)),
        "clashing": torch.randint(RESIDUES, (2, CLASHING)),
    }
    distances = lambda places, name: (places[:, pairs[name][0]] - places[:, pairs[name][1]] + 1e-6).norm(dim=-1)
    known = {name: distances(reference[None], name) for name in pairs}
    images, targets = torch.randn(BATCH, SIDE, SIDE), torch.randn(BATCH, SIDE, SIDE)
    filters = torch.randn(BATCH, SIDE, SIDE)
    rotations = torch.linalg.qr(torch.randn(BATCH, 3, 3))[0]
    deviation = lambda x: x.flatten(1).std(1) + 1e-5

    def project(places):
        seen = places @ rotations.transpose(1, 2)
        factor = lambda k: (-((axis - seen[:, :, k, None]) ** 2) / (2 * SIGMA**2)).exp()
        return (factor(1) * electrons[:, None]).transpose(1, 2) @ factor(0)

    def filtered(image):
        spectrum = torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(image, dim=(-2, -1))), dim=(-2, -1))
        spectrum = torch.fft.ifftshift(spectrum * filters, dim=(-2, -1))
        return torch.fft.fftshift(torch.fft.ifft2(spectrum), dim=(-2, -1)).real

    def structural(places):
        connected = ((distances(places, "connected") - known["connected"]) ** 2).mean()
        strains = (distances(places, "elastic") - known["elastic"]) ** 2
        variance = strains.detach().var(0)
        elastic = strains[:, variance < variance.quantile(KEEP)].mean()
        near = distances(places, "clashing")
        near = near[near < LEAST]
        clash = ((LEAST - near) ** 2).mean() if len(near) else 0.0
        return connected + elastic + clash

    def step():
        adam.zero_grad()
        places = reference + decoder(encoder((images * mask).flatten(1)))
        predicted, wanted = filtered(project(places)) * mask, targets * mask
        products = (predicted * wanted).sum((1, 2)) / deviation(predicted) / deviation(wanted) / mask.sum()
        loss = structural(places) - products.mean()
        loss.backward()
        adam.step()
        return loss.item()

    return step
