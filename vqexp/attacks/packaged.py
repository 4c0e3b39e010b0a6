"""AutoAttack as its package runs it on any view, a random one too."""

import torch
from torch import Tensor

from vqexp.adversaries import Adversary, View
from vqexp.attacks.autoattack import AutoAttack, captured_log, say
from vqexp.attacks.base import Adversarial, project
from vqexp.attacks.randomness import Randomness
from vqexp.core.errors import SenselessError
from vqexp.defenses import Defense


class PackagedAutoAttack(AutoAttack):
    """`run_standard_evaluation` of the package's own object, also on a view whose every call is another draw.

    There a point counts as adversarial if one more call gets it wrong. `autoattack_flags` (N,) is the
    package's verdict, which its users report as robust accuracy. The images are those that it returns: the
    clean one where it found nothing. The parameters are those of `AutoAttack`, but every version runs on
    every view.
    """

    def check(self, adversary: Adversary, defense: Defense, num_classes: int) -> None:
        """Refuse a view that averages by itself: the package's version `rand` averages 20 calls."""
        if adversary.sees_randomness(defense) and getattr(adversary, "samples", 1) > 1:
            raise SenselessError(
                "attack=autoattack_packaged averages as the package does; set adversary.samples=1 "
                "(attack=autoattack averages as the adversary says)"
            )

    def perturb(self, view: View, images: Tensor, labels: Tensor, randomness: Randomness) -> Adversarial:
        """The package's adversarial images, and its log as a fact."""
        with captured_log() as log, torch.random.fork_rng():
            attack, lines = self.authors_attack(view, images, randomness.seed)
            say(lines, log)
            found, predictions = attack.run_standard_evaluation(images, labels, batch_size=self.batch_size)
        found = project(found, images, self.eps, self.norm)  # the package rounds in its own way
        return Adversarial(found, {"autoattack_flags": predictions == labels}, {"log": log.getvalue()})
