"""SAE training: real SAELens code on tiny random models; figures recomputed by brute force."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

import emotion_interp as ei
from emotion_interp.core import EmotionInterpError, FileFormatError, NotFiniteError, Site, UnknownNameError
from emotion_interp.subjects import Subject, load_subject
from emotion_interp.subjects.loading import load_sae
from emotion_interp.subjects.sae_reader import SaeReader
from emotion_interp.training.sae_activations import (
    ActivationBlocks,
    Cursor,
    read_windows,
    readable_tokens,
    sink_limits,
    split_texts,
    text_windows,
)
from emotion_interp.training.sae_report import SaeTrainingResult, threshold_for
from emotion_interp.training.saes import SaeRecipe, train_saes

RECIPE = SaeRecipe(d_sae=64, k=8, tokens=120 * 64, batch_tokens=64, layers=(0, 2), dead_feature_window=10)


@pytest.fixture(scope="module")
def texts():
    sentences = [s.text for s in ei.concept_set("en").stimuli(templates=["t0"])]
    return [" ".join(sentences[i : i + 3]) for i in range(0, len(sentences), 3)]


@pytest.fixture(scope="module")
def bare_subject(gpt2, tokenizer):
    return Subject(gpt2, tokenizer=tokenizer, name="tiny")


@pytest.fixture(scope="module")
def held_out(texts):
    return texts[-30:]


@pytest.fixture(scope="module")
def trained(bare_subject, texts, held_out, tmp_path_factory):
    """A run over nearly four blocks, with what it reported."""
    out = tmp_path_factory.mktemp("saes") / "run"
    lines, progress = [], []
    result = train_saes(
        bare_subject,
        texts[:-30],
        out,
        RECIPE,
        held_out=held_out,
        report=lines.append,
        progress=lambda *p: progress.append(p),
    )
    return result, lines, progress


def by_hand(subject, texts, site):
    """Activations of all tokens but position 0, one text at a time: [token, d_model]."""
    rows = []
    for text in texts:
        ids = [subject.tokenizer.bos_token_id, *subject.tokenizer(text, add_special_tokens=False)["input_ids"]]
        for start in range(1, len(ids), subject.context - 1):
            window = [ids[0], *ids[start : start + subject.context - 1]]
            with torch.no_grad():
                _, cache = subject.model.run_with_cache(torch.tensor([window]), names_filter=[site.hook_name])
            rows.append(cache[site.hook_name][0, 1:])
    return torch.cat(rows)


def test_files_load_as_half_precision_jumprelu_saes_of_their_layer(trained):
    from safetensors.torch import load_file

    result, _, _ = trained
    for layer in (0, 2):
        folder = result.folder / f"layer_{layer}"
        reader = SaeReader(load_sae(folder))
        assert reader.site == Site(layer)
        assert reader.architecture == "jumprelu"
        assert reader.sae.cfg.normalize_activations == "none"
        assert reader.sae.cfg.metadata.model_name == "tiny"
        assert {t.dtype for t in load_file(folder / "sae_weights.safetensors").values()} == {torch.float16}
        assert torch.allclose(reader.sae.W_dec.norm(dim=1), torch.ones(64), atol=2e-3)
    assert sorted(p.name for p in result.folder.iterdir()) == ["layer_0", "layer_2", "training.json"]


def test_trained_saes_make_a_subject_that_reads(trained, bare_subject, tokenizer):
    result, _, _ = trained
    subject = Subject(bare_subject.model, saes=result.saes(), tokenizer=tokenizer)
    assert subject.layers == [0, 2]


def test_figures_are_those_of_the_saved_files_recomputed_by_brute_force(trained, bare_subject, texts, held_out):
    result, _, _ = trained
    everything = {site: by_hand(bare_subject, held_out, site) for site in (Site(0), Site(2))}
    frame = result.to_frame().set_index("layer")
    assert list(result.to_frame().columns)[:8] == [
        "layer", "d_sae", "k", "explained_variance", "l0", "silent_share", "tokens", "seconds",
    ]  # fmt: skip
    for site, rows in everything.items():
        sae = load_sae(result.folder / f"layer_{site.layer}")
        x = rows.double().numpy()
        w = {name: tensor.detach().double().numpy() for name, tensor in sae.state_dict().items()}
        pre = (x - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
        latents = np.where(pre > w["threshold"], np.maximum(pre, 0), 0)
        rebuilt = latents @ w["W_dec"] + w["b_dec"]
        explained = 1 - ((x - rebuilt) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()
        row = frame.loc[site.layer]
        assert row["held_out_tokens"] == len(x)
        assert row["explained_variance"] == pytest.approx(explained, abs=1e-4)
        assert row["l0"] == pytest.approx((latents > 0).sum(1).mean(), rel=1e-3)
        assert row["silent_share"] == pytest.approx((latents == 0).all(0).mean(), abs=1e-9)


def test_training_learns_and_l0_stays_near_k_after_conversion(trained):
    result, _, _ = trained
    for row in result.figures:
        assert row.explained_variance > 0.5
        assert 8 * 2 / 3 <= row.l0 <= 8 * 4 / 3
        assert row.tokens == 120 * 64


def test_a_threshold_that_drifted_is_set_so_that_k_latents_are_active_per_token(trained, bare_subject, texts):
    result, _, _ = trained
    # texts begin alike, and equal rows would tie at the threshold
    x = by_hand(bare_subject, texts[:20], Site(0)) + 0.01 * torch.randn(
        417, 32, generator=torch.Generator().manual_seed(0)
    )
    sae = load_sae(result.folder / "layer_0")
    threshold = threshold_for(sae, x, 5.0)
    with torch.no_grad():
        pre = (x - sae.b_dec) @ sae.W_enc + sae.b_enc
    assert int((pre > threshold).sum()) == 5 * len(x)


def test_normalisation_is_folded_so_that_the_saved_sae_equals_the_trained_one(bare_subject, texts, tmp_path):
    from emotion_interp.training.sae_files import save_sae
    from emotion_interp.training.saes import _trainer

    site = Site(2)
    x = by_hand(bare_subject, texts[:40], site)
    recipe = replace(RECIPE, layers=(2,))
    trainer = _trainer(bare_subject, site, x, recipe)
    for _ in range(20):
        trainer.step(x[:256])
        trainer.n_training_steps += 1
    # the threshold of a long run, so that the conversion needs no new one
    factor = trainer.activation_scaler.scaling_factor
    with torch.no_grad():
        latents, _ = trainer.sae.encode_with_hidden_pre(x * factor)
        trainer.sae.topk_threshold.fill_(float(latents[latents > 0].min()) * 0.9999)
        rebuilt = trainer.sae.decode(latents) / factor
    assert save_sae(bare_subject, site, trainer, x, recipe.k, tmp_path / "layer_2") is False
    sae = load_sae(tmp_path / "layer_2")
    with torch.no_grad():
        saved = sae.encode(x)
        mismatch = ((saved > 0) != (latents > 0)).float().mean()
        error = (sae.decode(saved) - rebuilt).norm() / (rebuilt - rebuilt.mean(0)).norm()
    assert mismatch < 2e-3
    assert error < 0.02
    assert trainer.sae.cfg.normalize_activations == "expected_average_only_in"


def test_bos_and_sinks_are_never_among_the_training_activations(bare_subject, texts):
    """Every training row is the activation of a real token of the texts, and none is BOS's or a sink's."""
    sites = [Site(0), Site(2)]
    chosen = texts[:60]
    windows = text_windows(bare_subject, chosen, bare_subject.context)
    known = {site: by_hand(bare_subject, chosen, site) for site in sites}
    norms = {site: rows.norm(dim=1) for site, rows in known.items()}
    # no token of a random model is a natural sink, so call the largest tenth sinks
    limits = {site: float(norm.quantile(0.9)) for site, norm in norms.items()}
    with torch.no_grad():
        _, cache = bare_subject.model.run_with_cache(torch.tensor([[bare_subject.tokenizer.bos_token_id]]))
    blocks = ActivationBlocks(bare_subject, windows, sites, limits, batch=64, seed=0)
    cursor = Cursor()
    for _ in range(2):
        activations, batches, cursor = blocks.block(cursor)
        assert len(np.unique(batches)) == batches.size
        for site in sites:
            rows = activations[site][batches.ravel()]
            ordinary = known[site][norms[site] <= limits[site] * (1 + 1e-5)]
            assert float(torch.cdist(rows, ordinary).min(1).values.max()) < 1e-2
            assert float((rows - cache[site.hook_name][0, 0]).norm(dim=1).min()) > 1.0
            assert float(rows.norm(dim=1).max()) <= limits[site]


def test_rows_of_all_layers_belong_to_the_same_tokens(bare_subject, texts):
    sites = [Site(0), Site(2)]
    windows = text_windows(bare_subject, texts[:10], bare_subject.context)
    together = read_windows(bare_subject, windows, sites)
    at_zero, at_two = (by_hand(bare_subject, texts[:10], site) for site in sites)
    nearest = torch.cdist(together[sites[0]], at_zero).argmin(1)
    assert torch.allclose(together[sites[1]], at_two[nearest], atol=1e-2)


def test_sink_limit_is_eight_times_the_median_norm(rng):
    x = torch.from_numpy(rng.normal(size=(101, 4))).float()
    assert sink_limits({Site(0): x})[Site(0)] == pytest.approx(
        8 * np.median(np.linalg.norm(x.numpy(), axis=1)), rel=1e-5
    )


def test_windows_keep_every_token_of_a_long_text(bare_subject, texts):
    long = " ".join(texts[:20])
    ids = bare_subject.tokenizer(long, add_special_tokens=False)["input_ids"]
    windows = text_windows(bare_subject, [long], context=16)
    assert [i for window in windows for i in window.ids[1:]] == ids
    assert all(window.ids[0] == bare_subject.tokenizer.bos_token_id and len(window) <= 16 for window in windows)
    assert readable_tokens(windows) == len(ids)


class Killed(Exception):
    pass


def test_killed_run_goes_on_from_its_checkpoint_to_the_same_weights(trained, bare_subject, texts, held_out, tmp_path):
    result, whole_lines, _ = trained
    out = tmp_path / "run"
    seen = []

    def killer(line):
        seen.append(line)
        if sum("loss" in s for s in seen) == 2:
            raise Killed

    with pytest.raises(Killed):
        train_saes(bare_subject, texts[:-30], out, RECIPE, held_out=held_out, report=killer, checkpoint_minutes=0)
    assert (out / "checkpoint/state.safetensors").exists() and not (out / "training.json").exists()
    lines = []
    again = train_saes(bare_subject, texts[:-30], out, RECIPE, held_out=held_out, report=lines.append)
    assert any(line.startswith("resumed") for line in lines)
    assert sum("loss" in line for line in lines) == sum("loss" in line for line in whole_lines) - 2
    for layer in (0, 2):
        name = f"layer_{layer}/sae_weights.safetensors"
        assert (out / name).read_bytes() == (result.folder / name).read_bytes()
    drop = ["seconds"]
    assert again.to_frame().drop(columns=drop).equals(result.to_frame().drop(columns=drop))
    assert not (out / "checkpoint").exists()


def test_finished_run_is_read_back_without_training(trained, bare_subject, texts, held_out):
    result, _, _ = trained
    before = (result.folder / "training.json").stat().st_mtime_ns
    lines, progress = [], []
    again = train_saes(
        bare_subject, texts[:-30], result.folder, RECIPE, held_out=held_out,
        report=lines.append, progress=lambda *p: progress.append(p),
    )  # fmt: skip
    assert again == result and not progress and "finished already" in lines[0]
    assert (result.folder / "training.json").stat().st_mtime_ns == before
    assert SaeTrainingResult.load(result.folder) == result


def test_figures_of_a_training_have_the_one_shape_of_a_result(trained):
    result, _, _ = trained
    frame = result.to_frame()
    assert frame["layer"].tolist() == [row.layer for row in result.figures]
    assert result.by_layer()["explained_variance"].tolist() == frame["explained_variance"].tolist()
    assert list(result.plot().data[0].y) == frame["explained_variance"].tolist()
    assert "runs" not in repr(result) and f"{len(frame)} rows" in repr(result)


def test_progress_reaches_the_total(trained):
    _, _, progress = trained
    assert progress[-1] == (120 * 64, 120 * 64)
    assert [done for done, _ in progress] == sorted(done for done, _ in progress)


def test_folder_of_another_recipe_is_refused(trained, bare_subject, texts, held_out):
    result, _, _ = trained
    with pytest.raises(EmotionInterpError, match="another recipe, model or text"):
        train_saes(bare_subject, texts[:-30], result.folder, replace(RECIPE, seed=1), held_out=held_out)
    with pytest.raises(EmotionInterpError, match="another recipe, model or text"):
        train_saes(bare_subject, texts[:-31], result.folder, RECIPE, held_out=held_out)


def test_record_holds_recipe_figures_and_versions(trained):
    result, _, _ = trained
    record = json.loads((result.folder / "training.json").read_text())
    assert record["recipe"]["seed"] == 0 and record["recipe"]["layers"] == [0, 2]
    assert record["versions"]["sae-lens"] and record["model_name"] == "tiny"
    assert len(record["figures"]) == 2


def test_damaged_record_is_named(trained, tmp_path):
    result, _, _ = trained
    copied = tmp_path / "copy"
    shutil.copytree(result.folder, copied)
    (copied / "training.json").write_text('{"figures": [{}]}')
    with pytest.raises(FileFormatError, match=r"training\.json"):
        SaeTrainingResult.load(copied)


def test_a_hooked_transformer_trains_as_well_and_comes_back_unchanged(hooked_model, texts, tmp_path):
    subject = Subject(hooked_model, name="hooked")
    before = {name: tensor.clone() for name, tensor in hooked_model.state_dict().items()}
    state = torch.random.get_rng_state()
    recipe = replace(RECIPE, tokens=30 * 64, layers=(1,))
    result = train_saes(subject, texts, tmp_path / "run", recipe)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(before[name], tensor) for name, tensor in hooked_model.state_dict().items())
    assert not any(hook.fwd_hooks for hook in hooked_model.hook_dict.values())
    read = Subject(hooked_model, saes=result.saes())
    assert read.layers == [1]
    # thirty steps leave SAELens' running threshold near zero; the calibration texts mend it
    assert result.figures[0].recalibrated and 8 * 2 / 3 <= result.figures[0].l0 <= 8 * 4 / 3


def test_saes_of_a_centred_hooked_transformer_are_read_back_on_it(tokenizer, texts, tmp_path):
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    config = HookedTransformerConfig(
        n_layers=1, d_model=32, n_ctx=64, d_head=16, n_heads=2, d_vocab=len(tokenizer), act_fn="gelu_new", seed=0, device="cpu",
        normalization_type="LN",
    )  # fmt: skip
    model = HookedTransformer(config, tokenizer=tokenizer)
    model.load_and_process_state_dict(
        model.state_dict(), center_writing_weights=True, center_unembed=False, fold_ln=False, fold_value_biases=False
    )
    subject = Subject(model, name="centred")
    result = train_saes(subject, texts, tmp_path / "run", replace(RECIPE, tokens=10 * 64, layers=(0,)))
    assert Subject(model, saes=result.saes()).readers[Site(0)].centred


def test_repeated_texts_count_once_and_held_out_texts_are_never_trained_on(bare_subject, texts):
    options = {"context": 64, "tokens": 100_000, "room": 2048, "seed": 0}
    held = texts[:20]
    split = split_texts(bare_subject, texts, held, **options)
    ids = {name: {w.ids for w in getattr(split, name)} for name in ("train", "calibration", "held_out")}
    assert not ids["train"] & ids["held_out"]
    assert not ids["train"] & ids["calibration"]
    own = split_texts(bare_subject, texts, None, **options)
    assert not {w.ids for w in own.train} & {w.ids for w in own.held_out}
    assert own.held_out and own.calibration


def test_bad_requests_are_refused_before_anything_is_written(bare_subject, texts, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(UnknownNameError, match="layer 7"):
        train_saes(bare_subject, texts, out, replace(RECIPE, layers=(7,)))
    with pytest.raises(EmotionInterpError, match="not sparse"):
        train_saes(bare_subject, texts, out, replace(RECIPE, k=64))
    with pytest.raises(EmotionInterpError, match="too few"):
        train_saes(bare_subject, ["one", "one", " "], out, RECIPE)
    with pytest.raises(EmotionInterpError, match="fewer than one batch"):
        SaeRecipe(tokens=10)
    with pytest.raises(EmotionInterpError, match="at least 1"):
        SaeRecipe(k=0)
    assert not out.exists()


def test_nan_activations_are_refused(gpt2, tokenizer, texts, tmp_path):
    import copy

    broken = copy.deepcopy(gpt2)
    with torch.no_grad():
        broken.transformer.h[1].mlp.c_proj.bias[0] = float("nan")
    subject = Subject(broken, tokenizer=tokenizer, name="broken")
    with pytest.raises(NotFiniteError, match=r"blocks\.2"):
        train_saes(subject, texts, tmp_path / "run", replace(RECIPE, layers=(2,)))
    assert not (tmp_path / "run" / "layer_2").exists()


def test_shortfalls_name_figures_outside_the_targets(trained):
    result, _, _ = trained
    good = replace(result.figures[0], k=24, explained_variance=0.8, l0=23.0, silent_share=0.1)
    bad = replace(good, layer=2, explained_variance=0.7, l0=33.0, silent_share=0.3)
    assert replace(result, figures=(good,)).shortfalls() == []
    lines = replace(result, figures=(good, bad)).shortfalls()
    assert len(lines) == 3 and all(line.startswith("layer 2") for line in lines)


def test_a_real_model_reads_its_own_saes_back(shared_data, tmp_path):
    folder = shared_data / "models/tinystories-instruct-3m-chat"
    if not folder.is_dir():
        pytest.skip("the shared TinyStories model is not under EMOTION_INTERP_DATA")
    from emotion_interp.training.texts import texts_for_subject

    subject = load_subject(folder)
    texts = texts_for_subject(subject, shared_data / "corpora/emotion_stories.jsonl.gz", limit=300)
    recipe = SaeRecipe(d_sae=256, tokens=30_720, batch_tokens=512, layers=(5,))
    result = train_saes(subject, texts.train, tmp_path / "saes", recipe)
    row = result.figures[0]
    assert row.explained_variance > 0.4 and 16 <= row.l0 <= 32
    assert load_subject(folder, saes=tmp_path / "saes").layers == [5]


def test_a_record_or_checkpoint_that_was_changed_is_refused_in_one_line(trained, tmp_path):
    """A flipped bit anywhere in the record, figures of another type signed again, no digest where there must be one."""
    from emotion_interp.core.files import read_json, write_signed_json

    result, _, _ = trained
    copied = tmp_path / "copy"
    copied.mkdir()
    file = copied / "training.json"
    whole = (result.folder / "training.json").read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 150)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << (place % 8)
        file.write_bytes(bytes(flipped))
        with pytest.raises(FileFormatError, match=r"training\.json"):
            SaeTrainingResult.load(copied)
    record = json.loads(whole)
    for change in ({"l0": "many"}, {"layer": -1}, {"layer": True}, {"recalibrated": 1}, {"k": None}):
        write_signed_json(file, {**record, "figures": [{**record["figures"][0], **change}]})
        with pytest.raises(FileFormatError, match=f"training.json is no record.*{next(iter(change))}"):
            SaeTrainingResult.load(copied)
    file.write_text(json.dumps({k: v for k, v in record.items() if k != "own_sha256"}))
    with pytest.raises(FileFormatError, match="changed after it was saved"):
        SaeTrainingResult.load(copied)
    assert read_json(file)["format"] == 2
