{{/*
Who serves on which port, and who dials whom. Environment, Services and NetworkPolicies are all made from this table,
so that a pod is told an address exactly when it may reach it. tests/chart compares it with what the code dials.
*/}}
{{- define "lima.edges" -}}
curation: {port: 50051, protocol: grpc, metrics: 9464, dials: [store, database]}
inference: {port: 50052, protocol: grpc, metrics: 9464, dials: [store, database, replicas]}
judging: {port: 50053, protocol: grpc, metrics: 9464, dials: [store, database, inference]}
console: {port: 8080, protocol: http, health: /healthz, dials: [store, database, curation, inference, judging]}
operator: {port: 9464, protocol: http, metrics: 9464, dials: [store, kubernetes]}
{{- end -}}

{{/* lima.env (root, what the pod dials): the settings of services.shared, read with the prefix LIMA_. */}}
{{- define "lima.env" -}}
{{- $root := index . 0 -}}
{{- $dials := index . 1 -}}
- name: LIMA_STATE_DIR
  value: /var/lib/lima
- name: LIMA_LOG_FORMAT
  value: json
- name: LIMA_LOG_LEVEL
  value: {{ $root.Values.logging.level }}
- name: LIMA_TOKEN
  valueFrom: {secretKeyRef: {name: {{ include "lima.authSecret" $root }}, key: token}}
{{- if has "store" $dials }}
{{ include "lima.storeEnv" $root }}
{{- end }}
{{- if has "database" $dials }}
- name: LIMA_DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ include "lima.databaseSecret" $root }}, key: url}}
{{- end }}
{{- range $service := list "curation" "inference" "judging" }}
{{- if has $service $dials }}
- name: LIMA_{{ upper $service }}_ADDRESS
  value: {{ include "lima.name" (list $root $service) }}-headless:{{ index (include "lima.edges" $root | fromYaml) $service "port" }}
{{- end }}
{{- end }}
{{- if has "replicas" $dials }}
- name: LIMA_REPLICA_URL
  value: http://{{ include "lima.name" (list $root "replicas") }}-serve-svc:8000
{{- end }}
{{- end -}}

{{- define "lima.storeEnv" -}}
- name: LIMA_OBJECT_STORE_ENDPOINT
  value: {{ include "lima.storeEndpoint" . | quote }}
- name: LIMA_OBJECT_STORE_BUCKET
  value: {{ .Values.objectStore.bucket | quote }}
- name: LIMA_OBJECT_STORE_REGION
  value: {{ .Values.objectStore.region | quote }}
# The bucket job makes the bucket; services need no right to.
- name: LIMA_OBJECT_STORE_CREATE_BUCKET
  value: "false"
- name: LIMA_OBJECT_STORE_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ include "lima.storeSecret" . }}, key: access-key}}
- name: LIMA_OBJECT_STORE_SECRET_KEY
  valueFrom: {secretKeyRef: {name: {{ include "lima.storeSecret" . }}, key: secret-key}}
{{- end -}}
