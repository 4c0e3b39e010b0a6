"""What the attacker knows: which differentiable view of the defended classifier the attack sees."""

from torch import nn


class Adversary:
    """Subclasses say what they see, refuse what makes no sense, and build the view."""

    VERSION = 1
    # False: the view is the bare classifier, so adversarial images serve every defense
    sees_defense: bool = True
    summary: str = ""

    def check(self, defense: nn.Module) -> None:
        """Raise `ConfigError` if this adversary makes no sense against `defense`."""

    def view(self, classifier: nn.Module, defense: nn.Module) -> nn.Module:
        """The module that the attack differentiates: images (N, C, H, W) in [0, 1] -> logits."""
        raise NotImplementedError
