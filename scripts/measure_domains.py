"""Measure how far training on glyphs carries, and what helps; chapter 14 prints the results.

    python scripts/measure_domains.py  [--omniglot FILE.npz] [--seeds 3] [--steps 400]

The shipped network is measured on new glyphs, on Omniglot, on MNIST and on the digits of scikit-learn, as
they come and after each of the chapter's aids, all on the same episodes. Then small networks are trained on
different drawings of the same characters. Omniglot is downloaded, unless a file of its arrays is given.
A quarter of an hour on two cores. Writes metalearn/results/domains.json.
"""

import argparse
import copy
import json
import platform
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from measure_heads import NEW, scripts

import metalearn as ml

RESULT = Path(__file__).resolve().parents[1] / "metalearn" / "results" / "domains.json"
EPISODES, N_QUERY = 600, 10
TUNED_EPISODES = 200
SHOTS = (1, 5)
VIEWS, STRENGTH = 4, 0.5  # of each support picture
TUNE = {"steps": 10, "lr": 1e-3}
SIDE = 28


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--omniglot", type=Path, help="its arrays, in the place of a download")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each kind")
    parser.add_argument("--steps", type=int, default=400, help="of each training")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    known, validation = scripts()
    pools = measured_pools(options.omniglot)
    usual_ink = ink(known)
    network = ml.pretrained("conv4-glyphs").eval()
    few = known.select(names=known.names[::20])
    middle = network.embed_pool(few).images.mean(0)
    measured = {"validation": (validation, 20), **pools}
    found = {
        "about": {
            "command": "python scripts/measure_domains.py",
            "episodes": EPISODES,
            "tuned_episodes": TUNED_EPISODES,
            "n_query": N_QUERY,
            "views": {"views": VIEWS, "strength": STRENGTH},
            "fine_tuning": TUNE,
            "steps": options.steps,
            "seeds": options.seeds,
            "torch": torch.__version__,
            "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
            "numbers": "accuracy and half of its 95 % interval; for an aid the paired gain and half of its",
        },
        "ways": {name: n_way for name, (_, n_way) in measured.items()},
        "ink": {"training": usual_ink, **{name: ink(pool) for name, (pool, _) in measured.items()}},
        "side": {name: side_of(pool, usual_ink) for name, (pool, _) in measured.items()},
        "domains": {
            name: domain(network, pool, n_way, usual_ink, middle)
            for name, (pool, n_way) in measured.items()
        },
        "styles": styles(known, pools, options.steps, options.seeds),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(options.out)


def measured_pools(omniglot_file: Path | None) -> dict[str, tuple[ml.Pool, int]]:
    """The pools to measure on, and the ways of an episode on each."""
    omniglot = ml.Pool.from_npz(omniglot_file) if omniglot_file else ml.load_pool("omniglot")
    return {
        "glyphs": (ml.load_pool("glyphs").select(groups=NEW), 20),
        "omniglot": (omniglot.select(names=ml.published_split("omniglot", "test")), 20),
        "mnist": (every(4, ml.load_pool("mnist")), 5),
        "digits": (ml.load_pool("digits").resize(SIDE), 5),
    }


def every(step: int, pool: ml.Pool) -> ml.Pool:
    """Every so many of the pictures."""
    return ml.Pool(pool.images[::step], pool.labels[::step], pool.names)


# What a picture's domain shows without a label


def ink(pool: ml.Pool) -> float:
    """The mean of all pixels, 0 to 1, of every seventh picture."""
    return pool.take(torch.arange(0, len(pool), 7)).double().mean().item() / 255


def side_of(pool: ml.Pool, usual_ink: float) -> int:
    """How large to draw the pictures so that they have the usual ink, at most as they are."""
    return min(SIDE, round(SIDE * (usual_ink / ink(pool)) ** 0.5))


def framed(pool: ml.Pool, side: int) -> ml.Pool:
    """The pictures at this side, with a margin."""
    before = (SIDE - side) // 2
    after = SIDE - side - before
    return pool.with_images(F.pad(pool.resize(side).images, [before, after, before, after]))


# The aids


def domain(
    network: ml.MetricLearner, pool: ml.Pool, n_way: int, usual_ink: float, middle: torch.Tensor
) -> dict:
    """The network on one domain, as it comes and with each aid, and pixels."""
    matched = framed(pool, side_of(pool, usual_ink))
    forms = {"as it comes": pool, "matched": matched}
    embedded = {name: network.embed_pool(form) for name, form in forms.items()}
    several = {name: views(network, form) for name, form in forms.items()}
    maps = {name: last_maps(network, form) for name, form in forms.items()}
    pixels = pool.with_embeddings(pool.images.flatten(1).float() / 255)
    heads = {
        "normalised": ml.heads.Prototypical(normalise=True),
        "and centred on the support": ml.heads.Prototypical(centre="support", normalise=True),
        "and centred on training": ml.heads.Prototypical(centre=middle, normalise=True),
    }
    found = {}
    settings = {"n_way": 5, "n_shot": 1, "n_query": N_QUERY, "seed": 0}
    base, by_pixels = (
        judged(each.images, pool, settings) for each in (embedded["as it comes"], pixels)
    )
    found["5-way 1-shot"] = {
        "network": percent(base),
        "pixels": percent(by_pixels),
        "network minus pixels": percent(base - by_pixels),
    }
    for n_shot in SHOTS:
        settings = {"n_way": n_way, "n_shot": n_shot, "n_query": N_QUERY, "seed": 0}
        judge = partial(judged, settings=settings)
        base = judge(embedded["as it comes"].images, pool)
        kept = found[f"{n_shot}-shot"] = {}
        for form in forms:
            z, seen = embedded[form].images, several[form].mean(0)
            before = judge(z, pool)
            shift = (seen - z).mean(0)
            gains = {name: judge(z, pool, head=head) for name, head in heads.items()}
            gains["views, support only"] = judge(seen, pool, queries=z)
            gains["views, shift removed"] = judge(seen - shift, pool, queries=z)
            gains["views, both sides"] = judge(seen, pool)
            kept[form] = {name: percent(scores - before) for name, scores in gains.items()}
            tuned = fine_tuned(network, maps[form], settings)
            kept[form]["last block fine-tuned"] = percent(tuned[1] - tuned[0])
            kept[form]["accuracy"] = percent(before)
        kept["matched"]["gain"] = percent(judge(embedded["matched"].images, pool) - base)
        print(n_shot, json.dumps(kept), flush=True)
    return found


def judged(
    z: torch.Tensor,
    pool: ml.Pool,
    settings: dict,
    queries: torch.Tensor | None = None,
    head: ml.heads.Head | None = None,
) -> np.ndarray:
    """Accuracies of the same episodes, with support embeddings z and these queries."""
    queries = z if queries is None else queries
    head = head or ml.heads.Prototypical()
    places = pool.with_embeddings(torch.arange(len(pool))[:, None])
    tasks = ml.ClassificationTasks(places, **settings)
    scores = []
    for part in torch.arange(EPISODES).split(50):
        batch = tasks.batch(part.tolist())
        one_hot = F.one_hot(batch.support.y, settings["n_way"]).float()
        state = head.fit(z[batch.support.x[..., 0]], one_hot)
        with torch.inference_mode():
            logits = head.score(state, queries[batch.query.x[..., 0]])
        scores.append(ml.metrics.accuracy(logits, batch.query.y))
    return torch.cat(scores).double().numpy()


def views(network: ml.MetricLearner, pool: ml.Pool) -> torch.Tensor:
    """Embeddings of the pictures and of views of them, [1 + VIEWS, n, D]."""
    rng = np.random.default_rng(0)
    images = [pool.images, *(ml.tasks.deform(pool.images, rng, STRENGTH) for _ in range(VIEWS))]
    return torch.stack([network.embed_pool(pool.with_images(each)).images for each in images])


def last_maps(network: ml.MetricLearner, pool: ml.Pool) -> ml.Pool:
    """What enters the last block, in the place of the pictures."""
    before_last = ml.MetricLearner(network.backbone.blocks[:-1], ml.heads.Prototypical())
    return before_last.embed_pool(pool)


def fine_tuned(network: ml.MetricLearner, maps: ml.Pool, settings: dict) -> np.ndarray:
    """Accuracies of episodes before and after the last block was fine-tuned, [2, episodes]."""
    tasks = ml.ClassificationTasks(maps, **settings)
    scores = []
    for i in range(TUNED_EPISODES):
        episode = tasks.episode(i)
        x, y = episode.support.x[0], episode.support.y[0]
        last = copy.deepcopy(network.backbone.blocks[-1])
        adam = torch.optim.Adam(last.parameters(), lr=TUNE["lr"])
        before = accuracy(last, episode)
        for _ in range(TUNE["steps"]):
            loss = F.cross_entropy(without_itself(last(x).flatten(1), y), y)
            adam.zero_grad()
            loss.backward()
            adam.step()
        scores.append([before, accuracy(last, episode)])
    return np.array(scores).T


def without_itself(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Scores of the support set, each example left out of the prototype of its own class, [S, N].

    With one example a class there is nothing left, and the prototype is the example itself.
    """
    one_hot = F.one_hot(y).float()
    left_out = (one_hot.sum(0) > 1).float()[y, None] * one_hot
    counts = one_hot.sum(0) - left_out
    centres = (one_hot.T @ z - left_out[..., None] * z[:, None]) / counts[..., None]
    return -((z[:, None] - centres) ** 2).sum(-1)


@torch.inference_mode()
def accuracy(last: torch.nn.Module, episode: ml.tasks.Batch) -> float:
    support, query = last(episode.support.x[0]).flatten(1), last(episode.query.x[0]).flatten(1)
    one_hot = F.one_hot(episode.support.y[0]).float()
    centres = one_hot.T @ support / one_hot.sum(0)[:, None]
    return (torch.cdist(query, centres).argmin(1) == episode.query.y[0]).float().mean().item()


# Drawing styles in training


def styles(known: ml.Pool, pools: dict[str, tuple[ml.Pool, int]], steps: int, seeds: int) -> dict:
    """Accuracies of networks trained on drawings by few or many hands: {how: {where: one a seed}}."""
    settings = {"n_way": 20, "n_shot": 1, "n_query": 1}
    on = partial(ml.ClassificationTasks, **settings)
    by_hand = known.images.view(known.n_classes, 20, *known.shape)
    two, one = (some_hands(known, by_hand[:, :n]) for n in (2, 1))
    ways = {
        "20 hands": partial(on, known),
        "2 hands": partial(on, two),
        "20 hands, a tenth of the characters": partial(on, known.select(names=known.names[::10])),
        "1 hand, views": partial(ml.ViewTasks, one, **settings),
    }
    found = {name: {} for name in ways}
    for seed in range(seeds):
        for name, make in ways.items():
            net = small_network(make(seed=seed), steps, seed)
            for where, (pool, n_way) in pools.items():
                z = net.embed_pool(pool).images
                task = {"n_way": n_way, "n_shot": 1, "n_query": N_QUERY, "seed": 0}
                scores = judged(z, pool, task)
                found[name].setdefault(where, []).append(round(100 * scores.mean(), 2))
            print(seed, name, {where: each[-1] for where, each in found[name].items()}, flush=True)
    return found


def some_hands(known: ml.Pool, images: torch.Tensor) -> ml.Pool:
    """The same characters, by the hands of these drawings [classes, hands, 1, 28, 28]."""
    labels = torch.arange(known.n_classes).repeat_interleave(images.shape[1])
    return ml.Pool(images.flatten(0, 1), labels, known.names, known.groups)


def small_network(tasks: ml.tasks.Tasks, steps: int, seed: int) -> ml.MetricLearner:
    """A network of four blocks of 16 filters after its training."""
    net = ml.MetricLearner(ml.backbones.conv4(width=16, seed=seed), ml.heads.Prototypical())
    falling = ml.updates.cosine_to_zero
    update = ml.updates.Gradient(net.parameters(), lr=3e-3, schedule=falling)
    ml.Trainer(net, tasks, update=update, batch_size=4, progress=False).fit(steps)
    return net.eval()


def percent(scores: np.ndarray) -> list[float]:
    """The mean in points, and half of its 95 % interval."""
    half = 1.96 * scores.std(ddof=1) / len(scores) ** 0.5
    return [round(100 * scores.mean(), 2), round(100 * half, 2)]


if __name__ == "__main__":
    main()
