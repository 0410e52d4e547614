{{/* Pieces of the admission policies. Everything is read through dyn: one expression then fits all
the kinds of its rules, whatever fields they have. */}}

{{/* Variables: the object before and after, and whether its maker may do everything. */}}
{{- define "trainyard.admission.who" -}}
- name: before
  expression: dyn(oldObject)
- name: after
  expression: dyn(object)
- name: user
  expression: request.userInfo.username
- name: groups
  expression: request.userInfo.?groups.orValue([])
- name: trusted
  expression: >-
    variables.user in {{ concat (list (include "trainyard.operatorUsername" .)) .Values.admissionPolicy.exemptUsers | toJson }}
    || variables.groups.exists(group, group in {{ .Values.admissionPolicy.exemptGroups | toJson }})
{{- end -}}

{{/* Variable: the update leaves all but foreign annotations as it was. Network plugins and migrations of the storage do that, and it says nothing about a run. */}}
{{- define "trainyard.admission.bystander" -}}
- name: bystander
  expression: >-
    request.operation == 'UPDATE'
    && ['spec', 'status', 'data', 'binaryData', 'immutable'].all(
      field, variables.before[?field] == variables.after[?field])
    && ['labels', 'finalizers', 'ownerReferences'].all(
      field, variables.before.metadata[?field] == variables.after.metadata[?field])
    && [variables.before, variables.after].all(
      one, one.metadata.?annotations.orValue({}).all(
        key, !key.startsWith('trainyard.dev/') ||
          variables.before.metadata.?annotations[?key] == variables.after.metadata.?annotations[?key]))
{{- end -}}

{{/* The binding that puts a policy of the same name into force. */}}
{{- define "trainyard.admission.binding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}
  labels: {{- include "trainyard.labels" .root | nindent 4 }}
spec:
  policyName: {{ .name }}
  validationActions: [Deny]
{{- end -}}
