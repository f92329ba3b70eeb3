"""What a search descends: the weights w and alpha of a supernet, each with its optimizer, and one step of either."""

from contextlib import nullcontext
from dataclasses import asdict

import torch
from torch import Tensor

from darts_lab import ranks
from darts_lab.capture import Recorder, capturable, load_optimizer, number, sgd
from darts_lab.environment import full_precision, lower_precision, restore
from darts_lab.methods.schedules import Timing
from darts_lab.methods.terms import survivors
from darts_lab.networks import fused
from darts_lab.networks.assembly import frozen_statistics
from darts_lab.networks.norms import share_foreign
from darts_lab.networks.operations import draws_noise
from darts_lab.optimizers import Adam
from darts_lab.plan import Plan
from darts_lab.search import bilevel
from darts_lab.tasks import Task

SMALLEST = 1e-6  # alpha of an operation that only remains because its node has no other


class Descent:
    """All that the steps of a search change. Batches are (inputs, targets); alpha and mixing weights have the shape
    (cell types, edges, candidates)."""

    def __init__(self, task: Task, plan: Plan, device: torch.device, capture: bool | None = None):
        self.task, self.seed, self.device = task, plan.seed, device
        self.space, self.method, self.settings = space, method, settings = plan.searched
        initial = torch.Generator().manual_seed(plan.seed)
        self.supernet = task.supernet(space, settings, initial, **method.network).to(device)
        share_foreign(self.supernet)
        compiled = settings.compile and ranks.count() == 1
        self.forward = torch.compile(self.supernet, dynamic=False) if compiled else self.supernet
        shape = (*space.shape[:2], space.candidates + method.edge_alpha)
        alpha = settings.alpha_spread * torch.randn(shape, generator=initial)
        self.alive: Tensor | None = None  # which operations are not pruned, ...
        self.running: list | None = None  # ... and the same as lists for the supernet
        if method.pruning:
            alpha += 1 / space.candidates
            self.alive = torch.ones(space.shape, dtype=torch.bool, device=device)
        self.alpha = alpha.to(device).requires_grad_()
        self.generator = torch.Generator(device).manual_seed(plan.seed + 2**32)  # order, augmentation, noise
        self.timing = Timing()  # what the schedule of alpha remembers
        self.memory: dict[str, Tensor] = {}  # what the method's `after_step` remembers
        mixing = self.activate(self.alpha.detach())
        self.multipliers: tuple[Tensor, Tensor] | None = None  # what ADMM remembers
        if method.admm is not None:
            self.multipliers = method.admm.begin(self.alpha, mixing, space)
        self.weights = dict(self.supernet.named_parameters())
        decay = settings.weight_decay * settings.decay_scale
        self.optimizer = sgd(self.weights.values(), settings.learning_rate, settings.momentum, decay)
        self.unrolled_decay: float | None = None  # that of w in the unrolled step, where it is not the optimizer's
        self.alpha_optimizer = Adam(
            [self.alpha],
            settings.alpha_learning_rate,
            betas=(settings.alpha_betas[0], settings.alpha_betas[1]),
            weight_decay=settings.alpha_weight_decay,
            **capturable([self.alpha]),
        )
        self.recorder = Recorder(device, self.generator, capture)
        self._recorded_alpha_step = self.recorder.step(self._alpha_step)
        self._recorded_weight_step = self.recorder.step(self._weight_step)

    # Mixing weights

    def activate(self, alpha: Tensor) -> Tensor:
        """The mixing weights that `alpha` stands for; those of pruned operations are zero."""
        return self._without_pruned(self.method.activation(alpha))

    def draw(self, alpha: Tensor, progress) -> Tensor:
        """The mixing weights of a step: those that `alpha` stands for, or a sample where the method draws one."""
        if self.method.draw is None:
            return self.activate(alpha)
        return self._without_pruned(self.method.draw(alpha, progress, self.generator))

    def _without_pruned(self, mixing: Tensor) -> Tensor:
        return mixing if self.alive is None else mixing * self.alive

    def draws(self, drop_path: float) -> bool:
        """Whether the supernet or the method draws random numbers in a step."""
        noise = draws_noise(self.supernet) or self.method.draw is not None
        return drop_path > 0 or noise or self.task.draws

    @property
    def progress(self) -> float:
        """How much of the search is done, the present training batch included: from 0 to 1."""
        batches = self.settings.epochs * self.task.batches_per_epoch(self.settings.batch_size)
        return min(1.0, (self.timing.batches + 1) / batches)

    def outputs(self, inputs, mixing: Tensor, drop_path: float = 0.0, weights=None):
        """The supernet's outputs, with other weights than its own if given (then in full precision, uncompiled)."""
        more = {"drop_path": drop_path, "generator": self.generator}
        if self.running is not None:
            more["running"] = self.running
        with fused.differentiated_once():
            if weights is not None:
                return ranks.of(self.supernet, weights)(inputs, mixing, **more)
            with lower_precision(self.device, self.settings.precision):
                return ranks.of(self.forward)(inputs, mixing, **more)

    # One step of each

    def step(self, train, valid, learning_rate: float, drop_path: float = 0.0) -> Tensor:
        """A step of alpha on the batch `valid`, then one of w on `train`: the training loss, on the device.

        `learning_rate` is that of w in the unrolled step of second order.
        """
        self.alpha_step(train, valid, learning_rate, drop_path)
        return self.weight_step(train, drop_path)[0]

    def alpha_step(self, train, valid, learning_rate: float, drop_path: float = 0.0) -> Tensor:
        """A step of alpha on the batch `valid`: its loss, on the device. Arguments as for `step`."""
        # Pruned operations are left out by lists on the host, and the generator of noise that both ends of a finite
        # difference see is set back from there; neither can be recorded.
        unrolled = self.settings.order == 2
        recordable = not self.method.pruning and not (unrolled and self.draws(drop_path))
        step = self._recorded_alpha_step if recordable else self._alpha_step
        numbers = number(learning_rate, self.device), number(self.progress, self.device)
        decays = self.optimizer.param_groups[0]["weight_decay"], self.unrolled_decay
        loss, state = step(train if unrolled else None, valid, *numbers, drop_path, self.multipliers, decays)
        self.task.carry("valid", state)
        if self.method.admm is not None and self.multipliers is not None:
            self.multipliers = self.method.admm.after(
                self.timing.alpha_steps + 1, self.alpha.detach(), self.activate, *self.multipliers, self.space
            )
        return loss

    def _alpha_step(self, train, valid, learning_rate, progress, drop_path: float, multipliers, decays):
        """(loss, what the task carries on). `decays`, those of w, are named here because a recorded step has them baked
        in; `_unrolled_gradient` reads them where they are."""
        gradient, outputs, loss = self._alpha_gradient(train, valid, learning_rate, progress, drop_path, multipliers)
        bilevel.alpha_step(gradient, self.alpha, self.alpha_optimizer)
        return loss, self.task.carried(outputs)

    def weight_step(self, train, drop_path: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
        """A step of w on the batch `train`: (loss, deviation, squared norm of the gradient of w), on the device."""
        noisy_term = self.method.training_term is not None and draws_noise(self.supernet)  # see `alpha_step`
        step = self._weight_step if self.method.pruning or noisy_term else self._recorded_weight_step
        progress, decay = number(self.progress, self.device), self.optimizer.param_groups[0]["weight_decay"]
        *measured, state = step(train, self._drawn(train, progress), progress, drop_path, decay)
        self._prune()
        self.task.carry("train", state)
        return tuple(measured)

    def _train(self) -> None:
        """Training mode; where it is on already, the walk over all modules would take a twentieth of a small step."""
        if not self.supernet.training:
            self.supernet.train()

    def _drawn(self, train, progress) -> Tensor | None:
        """The mixing weights of a step of w, where the method draws or perturbs them, maybe on the host."""
        method = self.method
        if method.draw is None and method.perturb is None:
            return None
        self._train()
        mixing = self.draw(self.alpha, progress).detach()
        if method.perturb is None:
            return mixing
        return method.perturb(mixing, self.loss_of(train), progress, self.space, self.generator)

    def _weight_step(self, train, drawn: Tensor | None, progress, drop_path: float, decay: float):
        """(what `weight_step` gives, what the task carries on); `drawn` as `_drawn`, `decay` as in `_alpha_step`."""
        self._train()
        mixing = self.activate(self.alpha).detach() if drawn is None else drawn
        with fused.step(self.supernet, self.settings):
            outputs = self.outputs(train[0], mixing, drop_path)
            loss = self.task.training_loss(outputs, train[1])
            whole = self._with_term(loss, train, mixing, progress)
            squared_gradient = bilevel.weight_step(whole, self.optimizer, self.settings.clip).square()
        return loss.detach(), self.task.deviation(outputs, train[1]), squared_gradient, self.task.carried(outputs)

    def _with_term(self, loss: Tensor, train, mixing: Tensor, progress) -> Tensor:
        """The training loss with what the method adds to it."""
        if self.method.training_term is None:
            return loss
        backbone = getattr(self.supernet, "backbone", None)  # recurrent networks have one cell
        cells = self.space.cell_types if backbone is None else tuple(backbone.cell_types)
        again = self.loss_of(train)
        if draws_noise(self.supernet):  # a term may take differences, which another draw would drown
            again = with_same_noise(self.generator, again)
        return loss + self.method.training_term(mixing, again, progress, self.space, cells)

    def loss_of(self, train):
        """The training loss of the batch as a function of the mixing weights; running statistics stay as they are."""

        def loss(mixing: Tensor) -> Tensor:
            with frozen_statistics(self.supernet):
                return self.task.training_loss(self.outputs(train[0], mixing), train[1])

        return loss

    @torch.no_grad()
    def _prune(self) -> None:
        """Leaves out for good what alpha has brought down to zero, where the method prunes."""
        if self.alive is not None:
            self.alive = survivors(self.alpha, self.alive, self.space)
            self.alpha.copy_(torch.where(self.alive, self.alpha.clamp_min(SMALLEST), 0))
            self.running = self.alive.tolist()

    # The gradient of alpha

    def alpha_gradient(self, train, valid, learning_rate: float, drop_path: float = 0.0) -> Tensor:
        """d L_valid / d alpha, shape of alpha, at the present weights (order 1) or after one unrolled step (order 2).

        The weights and, but for parity, the running statistics stay as they are, and nothing is carried on.
        """
        numbers = number(learning_rate, self.device), number(self.progress, self.device)
        return self._alpha_gradient(train, valid, *numbers, drop_path, self.multipliers)[0]

    def _alpha_gradient(self, train, valid, learning_rate, progress, drop_path: float, multipliers):
        """(gradient, the outputs and the loss on the batch `valid`)."""
        self._train()
        statistics = nullcontext() if self.settings.parity else frozen_statistics(self.supernet)
        with statistics, fused.step(self.supernet, self.settings):
            if self.settings.order == 2:
                with full_precision(self.device):  # anything less would drown the difference of two gradients
                    return self._unrolled_gradient(train, valid, learning_rate, progress, drop_path, multipliers)
            trained = [weight for weight in self.weights.values() if weight.requires_grad]
            for weight in trained:  # so that nothing is kept for gradients that nobody needs
                weight.requires_grad_(False)
            try:
                loss, outputs = self._valid_loss(valid, progress, drop_path, multipliers)
                return bilevel.first_order(loss, self.alpha), outputs, loss.detach()
            finally:
                for weight in trained:
                    weight.requires_grad_(True)

    def _valid_loss(self, valid, progress, drop_path: float, multipliers, weights=None):
        mixing = self.draw(self.alpha, progress)
        outputs = self.outputs(valid[0], mixing, drop_path, weights)
        loss = self.task.loss(outputs, valid[1])
        for term in self.method.terms:
            loss = loss + term(self.alpha, mixing, progress, self.space)
        if self.method.admm is not None:
            loss = loss + self.method.admm.term(mixing, *multipliers)
        return loss, outputs

    def _unrolled_gradient(self, train, valid, learning_rate, progress, drop_path: float, multipliers):
        """`bilevel.second_order` of these losses; the unrolled step is clipped where the task does so."""
        s, names, noise = self.settings, list(self.weights), []
        weights: list[Tensor] = list(self.weights.values())

        def train_loss(values: list[Tensor], alpha: Tensor) -> Tensor:
            mixing = self.draw(alpha, progress)
            outputs = self.outputs(train[0], mixing, drop_path, dict(zip(names, values, strict=True)))
            return self.task.training_loss(outputs, train[1])

        def valid_loss(values: list[Tensor], alpha: Tensor):
            with frozen_statistics(self.supernet):
                weights = dict(zip(names, values, strict=True))
                result = self._valid_loss(valid, progress, drop_path, multipliers, weights)
            if self.method.draw is not None:
                noise.append(self.generator.get_state())
            return result

        same = self.draws(drop_path) and not s.parity
        end_loss = with_same_noise(self.generator, train_loss) if same else train_loss
        if self.method.draw is not None:  # w' and both ends see the same sample
            train_loss = end_loss
        decay = self.optimizer.param_groups[0]["weight_decay"] if self.unrolled_decay is None else self.unrolled_decay
        buffers = [self.optimizer.state.get(weight, {}).get("momentum_buffer") for weight in weights]
        gradient, loss, outputs = bilevel.second_order(
            train_loss, valid_loss, weights, self.alpha, rate=learning_rate, decay=decay, momentum=s.momentum,
            buffers=None if None in buffers else buffers, epsilon=s.unrolled_epsilon,
            clip=s.clip if self.task.clips_unrolled else None, chain_rule=not s.parity, end_loss=end_loss,
        )  # fmt: skip
        if self.method.draw is not None:
            self.generator.set_state(noise[0])  # the next sample is another one
        return gradient, outputs, loss

    # All that changes

    def state(self) -> dict:
        """All that steps change, as a checkpoint can hold it; tensors are not copied."""
        return {
            "supernet": self.supernet.state_dict(),
            "alpha": self.alpha.detach(),
            "optimizer": self.optimizer.state_dict(),
            "alpha_optimizer": self.alpha_optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "device": self.device.type,
            "timing": asdict(self.timing),
            "multipliers": self.multipliers,
            "alive": self.alive,
            "memory": self.memory,
        }

    def load_state(self, state: dict) -> None:
        """Takes over a `state`. Raises ValueError, RuntimeError or KeyError where it does not fit."""
        if state["alpha"].shape != self.alpha.shape:
            raise ValueError(f"alpha has shape {tuple(state['alpha'].shape)}, not {tuple(self.alpha.shape)}")
        self.supernet.load_state_dict(state["supernet"])
        load_optimizer(self.optimizer, state["optimizer"])
        load_optimizer(self.alpha_optimizer, state["alpha_optimizer"])
        self.timing = Timing(**state["timing"])
        restore(self.generator, state, elsewhere=self.seed + 2**36 + self.timing.batches)
        self.multipliers = state["multipliers"]
        memory = state.get("memory", {})  # checkpoints from before there was one have none
        self.memory = {name: tensor.clone() for name, tensor in memory.items()}  # a state may be taken over again
        if self.alive is not None:
            self.alive, self.running = state["alive"], state["alive"].tolist()
        with torch.no_grad():
            self.alpha.copy_(state["alpha"])
        self.recorder.forget()  # what the optimizers remember lies elsewhere now


def with_same_noise(generator: torch.Generator, loss):
    """`loss`, before every call of which `generator` is where it was before the first."""
    states: list[Tensor] = []

    def repeated(*arguments):
        if states:
            generator.set_state(states[0])
        else:
            states.append(generator.get_state())
        return loss(*arguments)

    return repeated
