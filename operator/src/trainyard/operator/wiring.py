"""From the settings to what each layer wants to know of them."""

from __future__ import annotations

from ipaddress import ip_network

from trainyard.api.process import Notifications
from trainyard.api.run import SnapshotLimits
from trainyard.cluster.pods import NodeFolder, PodSettings
from trainyard.decide.facts import DecisionSettings
from trainyard.decide.recipients import NotificationRules, Recipients
from trainyard.notify.smtp import MailServer
from trainyard.notify.webhook import WebhookRules
from trainyard.operator.settings import Settings


def pod_settings(settings: Settings) -> PodSettings:
    """What pods are made with."""
    trainer = settings.trainer
    return PodSettings(
        image=trainer.image,
        image_pull_policy=trainer.image_pull_policy,
        gpu_resource_name=trainer.gpu_resource_name,
        runtime_class_name=trainer.runtime_class_name,
        tolerations=trainer.tolerations,
        service_account_name=trainer.service_account_name,
        grace_period_seconds=trainer.grace_period_seconds,
        snapshot_memory=trainer.snapshot_memory,
        cache=None
        if trainer.cache is None
        else NodeFolder(trainer.cache.host_path, trainer.cache.size_bytes),
    )


def mail_server(settings: Settings) -> MailServer | None:
    """The mail server; None: there is none."""
    smtp = settings.notifications.smtp
    if smtp is None:
        return None
    return MailServer(
        host=smtp.host,
        port=smtp.port,
        security=smtp.security,
        sender=smtp.sender,
        username=smtp.username,
        password_file=smtp.password_file,
        ca_file=smtp.ca_file,
        timeout_seconds=smtp.timeout_seconds,
    )


def webhook_rules(settings: Settings) -> WebhookRules:
    """How webhooks are called."""
    webhook = settings.notifications.webhook
    return WebhookRules(
        key_file=webhook.key_file,
        ca_file=webhook.ca_file,
        allowed_networks=tuple(map(ip_network, webhook.allowed_networks)),
        timeout_seconds=webhook.timeout_seconds,
    )


def _notification_rules(settings: Settings) -> NotificationRules:
    told = settings.notifications
    return NotificationRules(
        default=_recipients(told.default),
        namespaces={name: _recipients(item) for name, item in told.namespaces.items()},
        mail=told.smtp is not None,
        allowed_domains=frozenset(domain.lower() for domain in told.allowed_domains),
        tries=told.tries,
    )


def _recipients(given: Notifications) -> Recipients:
    return Recipients(given.email, given.webhooks)


def decision_settings(settings: Settings) -> DecisionSettings:
    """What decisions depend on."""
    tolerated = frozenset(
        (item.get("key") or "*", item.get("effect") or "") for item in settings.trainer.tolerations
    )
    return DecisionSettings(
        image=settings.trainer.image,
        store_root=settings.store.root,
        gpu_resource_name=settings.trainer.gpu_resource_name,
        tolerated_taints=tolerated,
        gpu_wait_seconds=settings.gpu_wait_seconds,
        pod_start_seconds=settings.pod_start_seconds,
        store=settings.store.location,
        progress_url=settings.progress.url,
        on_busy_node=settings.on_busy_node,
        hides_other_namespaces=settings.hide_other_namespaces,
        allowed_weights=frozenset(settings.trainer.allowed_weights),
        allowed_images=frozenset(settings.trainer.allowed_images),
        dataset_limits=SnapshotLimits(
            max_samples=settings.datasets.max_samples or None,
            max_bytes=settings.datasets.max_bytes or None,
        ),
        notifications=_notification_rules(settings),
    )
