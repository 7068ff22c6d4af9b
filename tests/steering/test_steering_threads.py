"""What is steered belongs to the thread or asyncio task that steers; it ends with its block, whatever interrupts."""

from __future__ import annotations

import asyncio
import contextvars
import dis
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import emotion_interp as ei
from emotion_interp.core import EmotionInterpError
from emotion_interp.core.types import Direction
from emotion_interp.steering import batch_steer, project_out, sae_operation
from emotion_interp.subjects.decoding import Decoding
from emotion_interp.subjects.generation import decode
from tests.locks import taken_locks, watch_shelves

PROMPT = "The letter said"


def pushes(d_model: int, n: int = 6) -> list[Direction]:
    rng = np.random.default_rng(7)
    return [Direction(rng.normal(size=d_model), layer=i % 3, name=f"d{i}") for i in range(n)]


def steered(subject, direction, prompt=PROMPT):
    with ei.steer(subject, direction, dose=8.0, positions="all", scale=2.0):
        return subject.generate(prompt, max_new_tokens=8)


def at_once(*jobs):
    """Run functions in threads that start together; their results in order, or the first error."""
    gate = threading.Barrier(len(jobs))

    def run(job):
        gate.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [f.result() for f in [pool.submit(run, job) for job in jobs]]


def test_a_thread_that_steers_nothing_is_not_steered(subject):
    plain, direction = subject.generate(PROMPT, max_new_tokens=8), pushes(subject.d_model)[1]
    told = []
    with ei.steer(subject, direction, dose=8.0, positions="all", scale=2.0):
        own = subject.generate(PROMPT, max_new_tokens=8)
        assert own != plain
        other = threading.Thread(target=lambda: told.append(subject.generate(PROMPT, max_new_tokens=8)))
        other.start()
        other.join()
        assert subject.generate(PROMPT, max_new_tokens=8) == own
    assert told == [plain]
    assert subject.generate(PROMPT, max_new_tokens=8) == plain


def test_threads_that_steer_at_once_each_get_their_own(subject, hooks_on):
    count = hooks_on(subject)
    directions = pushes(subject.d_model)
    alone = [steered(subject, d) for d in directions]
    plain = subject.generate(PROMPT, max_new_tokens=8)
    assert len({*alone, plain}) > 3

    def many(direction):
        return lambda: [steered(subject, direction) for _ in range(4)]

    *found, bare = at_once(
        *map(many, directions), lambda: [subject.generate(PROMPT, max_new_tokens=8) for _ in range(6)]
    )
    assert found == [[text] * 4 for text in alone]
    assert bare == [plain] * 6
    assert hooks_on(subject) == count


def test_rows_steered_their_own_way_and_sae_operations_stay_in_their_thread(tiny_subject):
    directions = [Direction(d.vector, layer=1) for d in pushes(tiny_subject.d_model, 3)]

    def rows():
        with batch_steer(tiny_subject, [*directions, None], 6.0, "all", scale=2.0):
            return tiny_subject.generate([PROMPT] * 4, max_new_tokens=6)

    def features():
        with sae_operation(tiny_subject, 1, [3, 5, 9], "clamp", 30.0, positions="all"):
            return tiny_subject.generate(PROMPT, max_new_tokens=6)

    def projected():
        with project_out(tiny_subject, directions):
            return tiny_subject.generate(PROMPT, max_new_tokens=6)

    def bare():
        return tiny_subject.generate(PROMPT, max_new_tokens=6)

    jobs = [rows, features, projected, bare]
    alone = [job() for job in jobs]
    repeated = [lambda job=job: [job() for _ in range(4)] for job in jobs]
    assert at_once(*repeated) == [[text] * 4 for text in alone]


def test_reading_while_another_thread_steers_is_the_reading_alone(tiny_subject, tiny_bank, small_concepts):
    direction = pushes(tiny_subject.d_model)[0]
    text = "She opened the letter and wept."
    trace = ei.emotion_trace(tiny_subject, text, tiny_bank).to_frame()
    words = ei.find_features(tiny_subject, small_concepts).to_frame()
    alone = steered(tiny_subject, direction)
    stop = threading.Event()

    def steering():
        found = set()
        with ei.steer(tiny_subject, direction, dose=8.0, positions="all", scale=2.0):
            while not stop.is_set():
                found.add(tiny_subject.generate(PROMPT, max_new_tokens=8))
        return found

    def reading():
        try:
            traces = [ei.emotion_trace(tiny_subject, text, tiny_bank).to_frame() for _ in range(5)]
            return traces, ei.find_features(tiny_subject, small_concepts).to_frame()
        finally:
            stop.set()

    texts, (traces, found) = at_once(steering, reading)
    assert texts == {alone}
    for one in traces:
        assert one.equals(trace)
    assert found.equals(words)


def test_asyncio_tasks_steer_apart(tiny_subject):
    directions = [Direction(d.vector, layer=1) for d in pushes(tiny_subject.d_model, 2)]
    plain = tiny_subject.generate(PROMPT, max_new_tokens=6)
    alone = [steered(tiny_subject, d) for d in directions]

    async def steering(direction):
        texts = []
        with ei.steer(tiny_subject, direction, dose=8.0, positions="all", scale=2.0):
            for _ in range(3):
                await asyncio.sleep(0)
                texts.append(tiny_subject.generate(PROMPT, max_new_tokens=8))
        return texts

    async def bare():
        texts = []
        for _ in range(5):
            await asyncio.sleep(0)
            texts.append(tiny_subject.generate(PROMPT, max_new_tokens=6))
        return texts

    async def all_of_them():
        return await asyncio.gather(steering(directions[0]), bare(), steering(directions[1]))

    first, other, second = asyncio.run(all_of_them())
    assert (first, second) == ([alone[0]] * 3, [alone[1]] * 3)
    assert other == [plain] * 5


def test_executors_start_bare_and_copied_contexts_take_the_steering_along(tiny_subject):
    direction = pushes(tiny_subject.d_model)[0]
    plain, own = tiny_subject.generate(PROMPT, max_new_tokens=8), steered(tiny_subject, direction)

    def generate():
        return tiny_subject.generate(PROMPT, max_new_tokens=8)

    async def run():
        loop = asyncio.get_running_loop()
        with ei.steer(tiny_subject, direction, dose=8.0, positions="all", scale=2.0):
            task = asyncio.create_task(asyncio.sleep(0, generate))
            return [
                await loop.run_in_executor(None, generate),
                await loop.run_in_executor(None, contextvars.copy_context().run, generate),
                await asyncio.to_thread(generate),
                (await task)(),
            ]

    assert asyncio.run(run()) == [plain, own, own, own]


def test_a_stream_that_goes_on_after_its_steering_is_refused(subject):
    direction = pushes(subject.d_model)[0]
    with ei.steer(subject, direction, dose=8.0, positions="all", scale=2.0):
        pieces = subject.stream(PROMPT, max_new_tokens=8)
        next(pieces)
    with pytest.raises(EmotionInterpError, match=r"closed.*inside the `with` block"):
        next(pieces)
    assert subject.generate(PROMPT, max_new_tokens=3)


def test_a_stream_keeps_what_it_began_with(subject):
    direction = pushes(subject.d_model)[0]
    plain, own = subject.generate(PROMPT, max_new_tokens=8), steered(subject, direction)
    assert plain != own

    def tokens(decoding, steps):
        for _ in range(8):
            if next(steps, None) is None:
                break
        return decoding.tokens[0]

    ids = [subject.tokenize([PROMPT])[0].ids]
    want = [decode(subject, ids, 8).tokens[0]]
    early = Decoding(subject, ids, 8)
    steps = early.steps()
    next(steps)
    with ei.steer(subject, direction, dose=8.0, positions="all", scale=2.0):
        want.append(decode(subject, ids, 8).tokens[0])
        with pytest.warns(UserWarning, match="opened after a text was begun") as told:
            found = tokens(early, steps)
        assert len(told) == 1
        late = Decoding(subject, ids, 8)
        steps = late.steps()
        next(steps)
        with ThreadPoolExecutor(1) as pool:
            elsewhere = pool.submit(tokens, late, steps).result()
    assert [found, elsewhere] == want


def test_hooks_of_a_direction_act_in_their_thread_and_refuse_another(tiny_subject):
    import torch

    direction = Direction(pushes(tiny_subject.d_model)[0].vector, layer=1, name="joy")
    ids = torch.tensor([tiny_subject.tokenize([PROMPT])[0].ids])
    with torch.no_grad():
        plain = tiny_subject.model(ids)
        with tiny_subject.model.hooks(fwd_hooks=direction.hooks(4.0, scale=2.0)):
            assert not torch.allclose(tiny_subject.model(ids), plain)
            with (
                ThreadPoolExecutor(1) as pool,
                pytest.raises(EmotionInterpError, match="'joy' were made in another thread"),
            ):
                pool.submit(tiny_subject.generate, PROMPT).result()
        assert torch.allclose(tiny_subject.model(ids), plain)


def test_one_steering_opens_once_at_a_time_and_again_later(tiny_subject):
    direction = pushes(tiny_subject.d_model)[0]
    own, steering = steered(tiny_subject, direction), ei.steer(tiny_subject, direction, 8.0, "all", scale=2.0)
    for _ in range(2):
        with steering:
            with ThreadPoolExecutor(1) as pool, pytest.raises(EmotionInterpError, match="open already"):
                pool.submit(steering.__enter__).result()
            assert tiny_subject.generate(PROMPT, max_new_tokens=8) == own


def test_a_bare_call_of_another_thread_keeps_to_its_own_prompt(subject):
    """The plan of a bare cached generation is its context's, also where another thread calls with other lengths."""
    import torch

    direction = pushes(subject.d_model)[1]
    ids = torch.tensor([subject.tokenize([PROMPT])[0].ids])

    def logits(count):
        with torch.no_grad(), ei.steer(subject, direction, dose=8.0, positions="generated", scale=2.0):
            found = []
            for _ in range(count):
                found.append(subject.model(ids))
        return found

    alone = logits(1)[0]
    for found in at_once(lambda: logits(5), lambda: logits(5)):
        for one in found:
            assert torch.allclose(one, alone, atol=1e-4)


class Interrupt(KeyboardInterrupt):
    """A Ctrl-C of the test's own."""


def leaving_with(frame, event) -> bool:
    """Whether a frame is about to leave a `with` block. A tracer is asked there, a signal is not let in there."""
    ops = [(i.opname, i.argval) for i in dis.get_instructions(frame.f_code) if i.offset >= frame.f_lasti]
    # before a `return` the value is moved out of the way first
    ops = ops[1:] if ops[0][0] == "SWAP" else ops
    return event == "line" and ops[:3] == [("LOAD_CONST", None)] * 3


def interrupted(job, at: int) -> bool:
    """Run a job and interrupt it at its n-th call, line or return in this package; False where it ended before."""
    left, leaving = [at], [False]

    def trace(frame, event, arg):
        del arg
        name = frame.f_code.co_filename
        if "emotion_interp/" not in name and not name.endswith("contextlib.py"):
            return None
        left[0] -= 1
        if left[0] < 0:
            sys.settrace(None)
            leaving[0] = leaving_with(frame, event)
            raise Interrupt
        return trace

    before = sys.gettrace()
    try:
        sys.settrace(trace)
        job()
        # Python drops what is raised while a generator is closed: the job went on to its end
        return left[0] < 0
    except Interrupt:
        return True
    finally:
        sys.settrace(before)
        for lock in taken_locks():
            # nothing else may leave one taken: the next thread would wait for ever
            assert leaving[0], at
            while lock in taken_locks():
                lock.release()


def jobs(subject, bank, direction):
    def generating():
        with ei.steer(subject, direction, dose=1.0, scale=2.0):
            subject.generate(PROMPT, max_new_tokens=2)

    def reading():
        ei.emotion_trace(subject, "She wept.", bank)

    def streaming():
        for _ in subject.stream(PROMPT, max_new_tokens=2):
            pass

    return {"generating": generating, "reading": reading, "streaming": streaming}


@pytest.mark.parametrize("name", ["generating", "reading", "streaming"])
def test_an_interrupt_anywhere_leaves_mode_hooks_and_gradients_as_they_were(tiny_subject, tiny_bank, hooks_on, name):
    import torch

    job = jobs(tiny_subject, tiny_bank, pushes(tiny_subject.d_model)[0])[name]
    job()
    watch_shelves()
    count = hooks_on(tiny_subject)
    plain = tiny_subject.generate(PROMPT, max_new_tokens=4)
    tiny_subject.model.train()
    modes = [m.training for m in tiny_subject.model.modules()]
    try:
        at = 0
        while True:
            if not interrupted(job, at):
                break
            assert [m.training for m in tiny_subject.model.modules()] == modes, at
            assert hooks_on(tiny_subject) == count, at
            assert torch.is_grad_enabled(), at
            at += 1 + at // 40
        assert at > 60
    finally:
        tiny_subject.model.eval()
    assert tiny_subject.generate(PROMPT, max_new_tokens=4) == plain


def test_training_mode_comes_back_after_the_last_of_two_threads(tiny_subject):
    from emotion_interp.subjects.plan import resting_mode

    tiny_subject.model.train()
    try:
        first, second = resting_mode(tiny_subject.model), resting_mode(tiny_subject.model)
        with first:
            second.__enter__()
        assert not tiny_subject.model.training
        second.__exit__(None, None, None)
        assert tiny_subject.model.training
    finally:
        tiny_subject.model.eval()


def test_steering_warns_of_nothing_in_ordinary_use(tiny_subject):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert steered(tiny_subject, pushes(tiny_subject.d_model)[0]).startswith(PROMPT)
