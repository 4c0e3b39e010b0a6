"""A model of your own that is random by itself, audited from Python."""

import torch
from torch import nn

import vqexp
from vqexp.data import Digits


class Noisy(nn.Sequential):
    def forward(self, images):
        return super().forward(images + 0.2 * torch.randn_like(images))


digits = Digits(name="digits", shape=(1, 8, 8), num_classes=10)
train, test = digits.load("train"), digits.load("test", 64)
model = Noisy(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for _ in range(100):
    loss = nn.functional.cross_entropy(model(train.pixels(slice(None))), train.labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

report = vqexp.audit(model, test.pixels(slice(None)), test.labels, eps=0.3, budget="quick")
print(report)
