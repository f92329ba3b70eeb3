"""What a search descends: the weights w and alpha of a supernet, each with its optimizer, and one step of either."""

from contextlib import nullcontext
from copy import deepcopy
from dataclasses import asdict

import torch
from torch import Tensor
from torch.func import functional_call

from darts_lab.environment import full_precision, lower_precision, restore
from darts_lab.methods.schedules import Timing
from darts_lab.methods.terms import survivors
from darts_lab.networks.cell import frozen_statistics
from darts_lab.plan import Plan
from darts_lab.search import bilevel
from darts_lab.tasks import Task

SMALLEST = 1e-6  # alpha of an operation that only remains because its node has no other


class Descent:
    """All that the steps of a search change. Batches are (inputs, targets); alpha and mixing weights have the shape
    (cell types, edges, candidates)."""

    def __init__(self, task: Task, plan: Plan, device: torch.device):
        self.task, self.seed, self.device = task, plan.seed, device
        self.space, self.method, self.settings = space, method, settings = plan.space, plan.method, plan.search
        initial = torch.Generator().manual_seed(plan.seed)
        self.supernet = task.supernet(space, settings, initial, **method.network).to(device)
        self.forward = torch.compile(self.supernet, dynamic=False) if settings.compile else self.supernet
        alpha = settings.alpha_spread * torch.randn(space.shape, generator=initial)
        self.alive = self.running = None  # which operations are not pruned: as a tensor, and as lists for the supernet
        if method.pruning:
            alpha += 1 / space.candidates
            self.alive = torch.ones(space.shape, dtype=torch.bool, device=device)
        self.alpha = alpha.to(device).requires_grad_()
        self.generator = torch.Generator(device).manual_seed(plan.seed + 2**32)  # order, augmentation, noise
        self.timing = Timing()  # what the schedule of alpha remembers
        mixing = self.activate(self.alpha.detach())
        self.multipliers = None if method.admm is None else method.admm.begin(self.alpha, mixing, space)
        self.weights = dict(self.supernet.named_parameters())
        self.optimizer = torch.optim.SGD(
            self.weights.values(),
            settings.learning_rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay * settings.decay_scale,
            foreach=True,
        )
        self.unrolled_decay: float | None = None  # that of w in the unrolled step, where it is not the optimizer's
        self.alpha_optimizer = torch.optim.Adam(
            [self.alpha],
            settings.alpha_learning_rate,
            betas=tuple(settings.alpha_betas),
            weight_decay=settings.alpha_weight_decay,
        )

    # Mixing weights

    def activate(self, alpha: Tensor) -> Tensor:
        """The mixing weights that `alpha` stands for; those of pruned operations are zero."""
        return self._without_pruned(self.method.activation(alpha))

    def draw(self, alpha: Tensor) -> Tensor:
        """The mixing weights of a step: those that `alpha` stands for, or a sample where the method draws one."""
        if self.method.draw is None:
            return self.activate(alpha)
        return self._without_pruned(self.method.draw(alpha, self.progress, self.generator))

    def _without_pruned(self, mixing: Tensor) -> Tensor:
        return mixing if self.alive is None else mixing * self.alive

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
        if weights is not None:
            return functional_call(self.supernet, weights, (inputs, mixing), more)
        with lower_precision(self.device, self.settings.precision):
            return self.forward(inputs, mixing, **more)

    # One step of each

    def step(self, train, valid, learning_rate: float, drop_path: float = 0.0) -> Tensor:
        """A step of alpha on the batch `valid`, then one of w on `train`: the training loss, on the device.

        `learning_rate` is that of w in the unrolled step of second order.
        """
        self.alpha_step(train, valid, learning_rate, drop_path)
        return self.weight_step(train, drop_path)[0]

    def alpha_step(self, train, valid, learning_rate: float, drop_path: float = 0.0) -> Tensor:
        """A step of alpha on the batch `valid`: its loss, on the device. Arguments as for `step`."""
        gradient, outputs, loss = self._alpha_gradient(train, valid, learning_rate, drop_path)
        bilevel.alpha_step(gradient, self.alpha, self.alpha_optimizer)
        self.task.carry("valid", outputs)
        if self.method.admm is not None:
            self.multipliers = self.method.admm.after(
                self.timing.alpha_steps + 1, self.alpha.detach(), self.activate, *self.multipliers, self.space
            )
        return loss

    def weight_step(self, train, drop_path: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
        """A step of w on the batch `train`: (loss, deviation, squared norm of the gradient of w), on the device."""
        self.supernet.train()
        mixing = self.draw(self.alpha).detach()
        if self.method.perturb is not None:
            mixing = self.method.perturb(mixing, self._loss_of(train), self.progress, self.space, self.generator)
        outputs = self.outputs(train[0], mixing, drop_path)
        loss = self.task.training_loss(outputs, train[1])
        squared_gradient = bilevel.weight_step(loss, self.optimizer, self.settings.clip).square()
        if self.alive is not None:
            self._prune()
        self.task.carry("train", outputs)
        return loss.detach(), self.task.deviation(outputs, train[1]), squared_gradient

    def _loss_of(self, train):
        """The training loss of the batch as a function of the mixing weights; running statistics stay as they are."""

        def loss(mixing: Tensor) -> Tensor:
            with frozen_statistics(self.supernet):
                return self.task.training_loss(self.outputs(train[0], mixing), train[1])

        return loss

    @torch.no_grad()
    def _prune(self) -> None:
        """Leaves out for good what alpha has brought down to zero."""
        self.alive = survivors(self.alpha, self.alive, self.space)
        self.alpha.copy_(torch.where(self.alive, self.alpha.clamp_min(SMALLEST), 0))
        self.running = self.alive.tolist()

    # The gradient of alpha

    def alpha_gradient(self, train, valid, learning_rate: float, drop_path: float = 0.0) -> Tensor:
        """d L_valid / d alpha, shape of alpha, at the present weights (order 1) or after one unrolled step (order 2).

        The weights and, but for parity, the running statistics stay as they are, and nothing is carried on.
        """
        return self._alpha_gradient(train, valid, learning_rate, drop_path)[0]

    def _alpha_gradient(self, train, valid, learning_rate: float, drop_path: float = 0.0):
        """(gradient, the outputs and the loss on the batch `valid`)."""
        self.supernet.train()
        with nullcontext() if self.settings.parity else frozen_statistics(self.supernet):
            if self.settings.order == 2:
                with full_precision(self.device):  # anything less would drown the difference of two gradients
                    return self._unrolled_gradient(train, valid, learning_rate, drop_path)
            trained = [weight for weight in self.weights.values() if weight.requires_grad]
            for weight in trained:  # so that nothing is kept for gradients that nobody needs
                weight.requires_grad_(False)
            try:
                loss, outputs = self._valid_loss(valid, drop_path)
                return bilevel.first_order(loss, self.alpha), outputs, loss.detach()
            finally:
                for weight in trained:
                    weight.requires_grad_(True)

    def _valid_loss(self, valid, drop_path: float, weights=None):
        mixing = self.draw(self.alpha)
        outputs = self.outputs(valid[0], mixing, drop_path, weights)
        loss = self.task.loss(outputs, valid[1])
        for term in self.method.terms:
            loss = loss + term(self.alpha, mixing, self.progress, self.space)
        if self.method.admm is not None:
            loss = loss + self.method.admm.term(mixing, *self.multipliers)
        return loss, outputs

    def _unrolled_gradient(self, train, valid, learning_rate: float, drop_path: float):
        """`bilevel.second_order` of these losses; the unrolled step is clipped where the task does so."""
        s, names, weights, noise = self.settings, list(self.weights), list(self.weights.values()), []

        def train_loss(values: list[Tensor], alpha: Tensor) -> Tensor:
            outputs = self.outputs(train[0], self.draw(alpha), drop_path, dict(zip(names, values, strict=True)))
            return self.task.training_loss(outputs, train[1])

        def valid_loss(values: list[Tensor], alpha: Tensor):
            with frozen_statistics(self.supernet):
                result = self._valid_loss(valid, drop_path, dict(zip(names, values, strict=True)))
            noise.append(self.generator.get_state())
            return result

        end_loss = train_loss if s.parity else with_same_noise(self.generator, train_loss)
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
        }

    def load_state(self, state: dict) -> None:
        """Takes over a `state`. Raises ValueError, RuntimeError or KeyError where it does not fit."""
        if state["alpha"].shape != self.alpha.shape:
            raise ValueError(f"alpha has shape {tuple(state['alpha'].shape)}, the space {self.space.shape}")
        self.supernet.load_state_dict(state["supernet"])
        self.optimizer.load_state_dict(deepcopy(state["optimizer"]))  # which would else share its tensors
        self.alpha_optimizer.load_state_dict(deepcopy(state["alpha_optimizer"]))
        self.timing = Timing(**state["timing"])
        restore(self.generator, state, elsewhere=self.seed + 2**36 + self.timing.batches)
        self.multipliers = state["multipliers"]
        if self.alive is not None:
            self.alive = state["alive"]
            self.running = self.alive.tolist()
        with torch.no_grad():
            self.alpha.copy_(state["alpha"])


def with_same_noise(generator: torch.Generator, loss):
    """`loss`, before every call of which `generator` is where it was before the first."""
    states = []

    def repeated(*arguments):
        if states:
            generator.set_state(states[0])
        else:
            states.append(generator.get_state())
        return loss(*arguments)

    return repeated
