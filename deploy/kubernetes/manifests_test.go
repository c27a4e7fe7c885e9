package kubernetes

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	strict "sigs.k8s.io/yaml"
)

// kinds makes an empty object of each kind that the manifests may use.
var kinds = map[string]func() any{
	"v1/Namespace":                       func() any { return new(corev1.Namespace) },
	"v1/ServiceAccount":                  func() any { return new(corev1.ServiceAccount) },
	"v1/Service":                         func() any { return new(corev1.Service) },
	"apps/v1/StatefulSet":                func() any { return new(appsv1.StatefulSet) },
	"policy/v1/PodDisruptionBudget":      func() any { return new(policyv1.PodDisruptionBudget) },
	"networking.k8s.io/v1/NetworkPolicy": func() any { return new(networkingv1.NetworkPolicy) },
}

// objects reads all manifests strictly: a field that Kubernetes does not know is an error.
func objects(t *testing.T) map[string]any {
	t.Helper()
	f, err := os.Open("holdfast.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := map[string]any{}
	for docs := yaml.NewYAMLReader(bufio.NewReader(f)); ; {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		var head struct{ APIVersion, Kind string }
		if err := strict.Unmarshal(doc, &head); err != nil || head.Kind == "" {
			t.Fatalf("a document without a kind: %v\n%s", err, doc)
		}
		name := head.APIVersion + "/" + head.Kind
		build, ok := kinds[name]
		if !ok {
			t.Fatalf("%s is no kind that is meant", name)
		}
		object := build()
		if err := strict.UnmarshalStrict(bytes.TrimSpace(doc), object); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		all[head.Kind] = object
	}
}

// TestThePodIsRestricted: what the Pod Security Standard "restricted" asks for, and a file system that cannot be written.
func TestThePodIsRestricted(t *testing.T) {
	all := objects(t)
	set, ok := all["StatefulSet"].(*appsv1.StatefulSet)
	if !ok {
		t.Fatal("there is no StatefulSet")
	}
	pod := set.Spec.Template.Spec
	if s := pod.SecurityContext; s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("the pod may run as root, or without seccomp: %+v", s)
	}
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Error("the pod is given a token of the cluster that it does not need")
	}
	for _, c := range pod.Containers {
		s := c.SecurityContext
		if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
			t.Errorf("container %s can gain rights or write its own files: %+v", c.Name, s)
		}
		if s.Capabilities == nil || len(s.Capabilities.Drop) != 1 || s.Capabilities.Drop[0] != "ALL" || len(s.Capabilities.Add) > 0 {
			t.Errorf("container %s has capabilities: %+v", c.Name, s.Capabilities)
		}
		if c.LivenessProbe == nil || c.ReadinessProbe == nil || c.StartupProbe == nil || c.Resources.Limits.Memory().IsZero() {
			t.Errorf("container %s lacks a probe or a limit of memory", c.Name)
		}
	}
}

// TestNothingPassesThatIsNotNamed: the policy is for every pod and for both ways, and opens no port to everybody.
func TestNothingPassesThatIsNotNamed(t *testing.T) {
	policy, ok := objects(t)["NetworkPolicy"].(*networkingv1.NetworkPolicy)
	if !ok {
		t.Fatal("there is no NetworkPolicy")
	}
	if len(policy.Spec.PodSelector.MatchLabels) > 0 || len(policy.Spec.PolicyTypes) != 2 {
		t.Errorf("it leaves pods or a direction out: %+v", policy.Spec)
	}
	for _, r := range policy.Spec.Ingress {
		if len(r.From) == 0 || len(r.Ports) == 0 {
			t.Errorf("a way in is open to everybody or for every port: %+v", r)
		}
	}
	for _, r := range policy.Spec.Egress {
		if len(r.To) == 0 || len(r.Ports) == 0 {
			t.Errorf("a way out leads everywhere or to every port: %+v", r)
		}
	}
}

// TestOneNodeStaysWhileAnotherMoves: a drain of a machine never takes both.
func TestOneNodeStaysWhileAnotherMoves(t *testing.T) {
	all := objects(t)
	budget, ok := all["PodDisruptionBudget"].(*policyv1.PodDisruptionBudget)
	set := all["StatefulSet"].(*appsv1.StatefulSet)
	if !ok || budget.Spec.MinAvailable.IntValue() < 1 || *set.Spec.Replicas <= int32(budget.Spec.MinAvailable.IntValue()) {
		t.Errorf("got the budget %+v for %d nodes", budget, *set.Spec.Replicas)
	}
}
