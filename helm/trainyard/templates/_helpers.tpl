{{/* Name of everything: the release's name. */}}
{{- define "trainyard.name" -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "trainyard.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "trainyard.name" .) -}}
{{- end -}}

{{- define "trainyard.selector" -}}
app.kubernetes.io/name: trainyard
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "trainyard.labels" -}}
{{ include "trainyard.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: trainyard
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* Not those of the operator: no selector may take its pod for one. */}}
{{- define "trainyard.uninstallLabels" -}}
{{- include "trainyard.labels" . | replace "app.kubernetes.io/component: operator" "app.kubernetes.io/component: uninstall" -}}
{{- end -}}

{{/* The fixed namespace of the node locks: the operator knows it by this name. */}}
{{- define "trainyard.lockNamespace" -}}
trainyard-locks
{{- end -}}

{{/* The Lease of the operator that works while others stand by. */}}
{{- define "trainyard.leaderLease" -}}
trainyard-leader
{{- end -}}

{{/* As whom the operator writes. */}}
{{- define "trainyard.operatorUsername" -}}
{{- $account := printf "system:serviceaccount:%s:%s" .Release.Namespace (include "trainyard.serviceAccount" .) -}}
{{- .Values.admissionPolicy.operatorUsername | default $account -}}
{{- end -}}

{{/* Base URL of the progress service as trainer pods see it. */}}
{{- define "trainyard.progressUrl" -}}
{{- $host := .Values.service.clusterIP | default (printf "%s.%s.svc" (include "trainyard.name" .) .Release.Namespace) -}}
{{- .Values.progress.url | default (printf "http://%s:%d" $host (int .Values.service.port)) -}}
{{- end -}}

{{/* The operator's image. */}}
{{- define "trainyard.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}

{{/* The operator's settings file. */}}
{{- define "trainyard.settings" -}}
store:
  bucket: {{ required "store.bucket is missing: name the bucket that snapshots and models go to" .Values.store.bucket | quote }}
  prefix: {{ .Values.store.prefix | quote }}
  {{- with .Values.store.endpointUrl }}
  endpointUrl: {{ . | quote }}
  {{- end }}
  region: {{ .Values.store.region | quote }}
trainer:
  image: {{ required "trainer.image is missing: name the trainer image" .Values.trainer.image | quote }}
  imagePullPolicy: {{ .Values.trainer.imagePullPolicy }}
  gpuResourceName: {{ .Values.trainer.gpuResourceName | quote }}
  {{- with .Values.trainer.runtimeClassName }}
  runtimeClassName: {{ . | quote }}
  {{- end }}
  tolerations: {{ .Values.trainer.tolerations | toJson }}
  serviceAccountName: {{ .Values.trainer.serviceAccountName | quote }}
  gracePeriodSeconds: {{ int .Values.trainer.gracePeriodSeconds }}
  snapshotMemory: {{ .Values.trainer.snapshotMemory | quote }}
  allowedWeights: {{ .Values.trainer.allowedWeights | toJson }}
  allowedImages: {{ .Values.trainer.allowedImages | toJson }}
  {{- with .Values.trainer.cache }}
  cache:
    hostPath: {{ .hostPath | quote }}
    size: {{ if kindIs "string" .size }}{{ .size | quote }}{{ else }}{{ int64 .size }}{{ end }}
  {{- end }}
datasets:
  maxSamples: {{ int64 .Values.datasets.maxSamples }}
  maxSize: {{ if kindIs "string" .Values.datasets.maxSize }}{{ .Values.datasets.maxSize | quote }}{{ else }}{{ int64 .Values.datasets.maxSize }}{{ end }}
progress:
  url: {{ include "trainyard.progressUrl" . | quote }}
  port: 8080
  maxBodyBytes: {{ int .Values.progress.maxBodyBytes }}
healthPort: 8081
log: {format: {{ .Values.log.format }}, level: {{ .Values.log.level }}}
namespaces: {{ .Values.namespaces | toJson }}
resyncSeconds: {{ .Values.resyncSeconds }}
stalledAfterSeconds: {{ .Values.stalledAfterSeconds }}
workers: {{ int .Values.workers }}
onBusyNode: {{ .Values.onBusyNode }}
hideOtherNamespaces: {{ .Values.hideOtherNamespaces }}
gpuWaitSeconds: {{ int .Values.gpuWaitSeconds }}
podStartSeconds: {{ int .Values.podStartSeconds }}
evidenceSeconds: {{ int .Values.evidenceSeconds }}
{{- with .Values.externalUrl }}
externalUrl: {{ . | quote }}
{{- end }}
notifications:
  default: {{ .Values.notifications.default | toJson }}
  namespaces: {{ .Values.notifications.namespaces | toJson }}
  allowedDomains: {{ .Values.notifications.allowedDomains | toJson }}
  tries: {{ int .Values.notifications.tries }}
  {{- with .Values.notifications.smtp }}
  {{- if .host }}
  smtp:
    host: {{ .host | quote }}
    port: {{ int .port }}
    security: {{ .security | quote }}
    sender: {{ required "notifications.smtp.sender is missing: name the address that mail comes from" .sender | quote }}
    {{- with .username }}
    username: {{ . | quote }}
    {{- end }}
    {{- if .existingSecret }}
    passwordFile: /etc/trainyard-smtp/password
    {{- end }}
    {{- if $.Values.notifications.caConfigMap }}
    caFile: /etc/trainyard-ca/ca.crt
    {{- end }}
    timeoutSeconds: {{ .timeoutSeconds }}
  {{- end }}
  {{- end }}
  webhook:
    {{- if .Values.notifications.webhook.existingSecret }}
    keyFile: /etc/trainyard-webhook/key
    {{- end }}
    {{- if .Values.notifications.caConfigMap }}
    caFile: /etc/trainyard-ca/ca.crt
    {{- end }}
    allowedNetworks: {{ .Values.notifications.webhook.allowedNetworks | toJson }}
    timeoutSeconds: {{ .Values.notifications.webhook.timeoutSeconds }}
leaderElection:
  enabled: {{ .Values.leaderElection.enabled }}
  namespace: {{ .Release.Namespace }}
  name: {{ include "trainyard.leaderLease" . }}
  leaseSeconds: {{ int .Values.leaderElection.leaseSeconds }}
  renewSeconds: {{ int .Values.leaderElection.renewSeconds }}
  retrySeconds: {{ .Values.leaderElection.retrySeconds }}
{{- end -}}
