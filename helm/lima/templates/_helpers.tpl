{{/*
Names and labels. What KubeRay names after a RayService leaves 47 characters for `NAME-replicas`; and a Service's name
begins with a letter and holds no dot.
*/}}
{{- define "lima.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $whole := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- $chosen := default $whole .Values.fullnameOverride | trunc 38 | trimSuffix "-" -}}
{{- if not (regexMatch "^[a-z][-a-z0-9]*$" $chosen) -}}
{{- fail (printf "the name %q cannot begin the names of Services: they are lower-case letters, digits and dashes that begin with a letter. Choose another release name, or set fullnameOverride" $chosen) -}}
{{- end -}}
{{- $chosen -}}
{{- end -}}

{{/* lima.name (root, component) */}}
{{- define "lima.name" -}}
{{- printf "%s-%s" (include "lima.fullname" (index . 0)) (index . 1) -}}
{{- end -}}

{{/*
lima.selector (root, component): never changes over upgrades. It leaves out app.kubernetes.io/name, which KubeRay gives
to Ray's pods and selects them by: so these are all the labels that a pod of Ray gets from us.
*/}}
{{- define "lima.selector" -}}
app.kubernetes.io/part-of: lima
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* lima.releaseSelector (root): every pod of the release. */}}
{{- define "lima.releaseSelector" -}}
app.kubernetes.io/part-of: lima
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* lima.labels (root, component) */}}
{{- define "lima.labels" -}}
{{ include "lima.selector" . }}
app.kubernetes.io/name: {{ default (index . 0).Chart.Name (index . 0).Values.nameOverride }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version }}
{{- with (index . 0).Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* lima.image (root, key): the reference that is pulled. */}}
{{- define "lima.image" -}}
{{- $root := index . 0 -}}
{{- $image := index $root.Values.images (index . 1) -}}
{{- if and $root.Values.images.requireDigests (not $image.digest) -}}
{{- fail (printf "images.%s.digest: empty while images.requireDigests is true. Set it to sha256:... (images/build.py --push writes a values file with all of them)" (index . 1)) -}}
{{- end -}}
{{- with $root.Values.images.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default $root.Chart.AppVersion $image.tag }}{{ end -}}
{{- end -}}

{{- define "lima.pullSecrets" -}}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Secrets: ours by default, generated once; or named by the user. */}}
{{- define "lima.authSecret" -}}
{{- default (include "lima.name" (list . "auth")) .Values.auth.existingSecret -}}
{{- end -}}
{{- define "lima.storeSecret" -}}
{{- default (include "lima.name" (list . "store")) .Values.objectStore.existingSecret -}}
{{- end -}}
{{- define "lima.databaseSecret" -}}
{{- default (include "lima.name" (list . "database")) .Values.database.existingSecret -}}
{{- end -}}

{{- define "lima.storeEndpoint" -}}
{{- if eq .Values.objectStore.mode "external" -}}{{ .Values.objectStore.endpoint }}
{{- else -}}http://{{ include "lima.name" (list . "store") }}:{{ include "lima.storePort" . }}
{{- end -}}
{{- end -}}
{{- define "lima.storePort" -}}
{{- if eq .Values.objectStore.mode "seaweedfs" -}}8333{{- else -}}9000{{- end -}}
{{- end -}}

{{/* lima.known (root, secret name, key): the value a kept Secret already holds, or nothing. */}}
{{- define "lima.known" -}}
{{- $root := index . 0 -}}
{{- $secret := lookup "v1" "Secret" $root.Release.Namespace (index . 1) -}}
{{- with $secret }}{{ with index (default dict .data) (index $ 2) }}{{ . | b64dec }}{{ end }}{{ end -}}
{{- end -}}

{{/* The settings of pods and containers that Kubernetes' "restricted" level asks for, and a little more. */}}
{{- define "lima.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}
{{- define "lima.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/*
lima.prioritised (root, use, pool): the pool with the release's own PriorityClass of that use, serving or training,
where it makes some and the pool names none.
*/}}
{{- define "lima.prioritised" -}}
{{- $root := index . 0 -}}
{{- $pool := deepCopy (index . 2) -}}
{{- if and $root.Values.priorityClasses.create (not $pool.priorityClassName) -}}
{{- $_ := set $pool "priorityClassName" (include "lima.name" (list $root (index . 1))) -}}
{{- end -}}
{{- toJson $pool -}}
{{- end -}}

{{/* lima.placement (map with nodeSelector, tolerations, affinity, priorityClassName, runtimeClassName) */}}
{{- define "lima.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- end -}}
