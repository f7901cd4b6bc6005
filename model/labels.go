package model

// Labels: the names of what classifiers tell apart, and how their scores are read.

import (
	"fmt"
	"strconv"
)

// labelFields are the fields of config.json that describe a classifier's labels.
type labelFields struct {
	ID2Label    map[string]string `json:"id2label"`
	NumLabels   *int              `json:"num_labels"`
	ProblemType *string           `json:"problem_type"`

	labels []string
}

// checkLabels reads the labels of a class; without any in the file there are as
// many as transformers would have. weight is the matrix of its classifier, whose
// rows have to be as many.
func (f *labelFields) checkLabels(k *checker, c classed, byDefault int, weight string) {
	n := byDefault
	if f.NumLabels != nil {
		n = *f.NumLabels
		k.contradicts(n < 1 || n > maxWidth, "num_labels", "is %d, want 1 to %d", n, maxWidth)
		k.contradicts(len(f.ID2Label) > 0 && n != len(f.ID2Label), "num_labels", "is %d, but id2label has %d labels", n, len(f.ID2Label))
	}
	if len(f.ID2Label) > 0 {
		n = len(f.ID2Label)
	}
	if f.ProblemType != nil {
		switch t := *f.ProblemType; t {
		case "regression", "multi_label_classification":
		case "single_label_classification":
			k.contradicts(n == 1, "problem_type", "is %q, but there is one label", t)
		default:
			k.refuse(true, "problem_type", fmt.Sprintf("%q", t), "regression", "single_label_classification", "multi_label_classification")
		}
	}
	k.contradicts(c.is(HeadSpan) && n != 2, "id2label", "has %d labels, want 2 of an answer: its start and its end", n)
	if k.err != nil || !c.is(HeadSequence) && !c.is(HeadToken) {
		return
	}
	if len(f.ID2Label) > 0 {
		f.names(k)
	}
	in, ok := k.ck.Info(weight)
	if !ok || len(in.Shape) == 0 { // which loading will report
		return
	}
	k.contradicts(n != in.Shape[0], "id2label", "has %d labels, but %s has %d rows", n, weight, in.Shape[0])
	if k.err == nil && len(f.ID2Label) == 0 {
		for i := range n {
			f.labels = append(f.labels, fmt.Sprintf("LABEL_%d", i))
		}
	}
}

// names are those of id2label in the order of their ids.
func (f *labelFields) names(k *checker) {
	n := len(f.ID2Label)
	out := make([]string, n)
	seen := make([]bool, n)
	for key, v := range f.ID2Label {
		i, err := strconv.Atoi(key)
		bad := err != nil || i < 0 || i >= n || seen[i]
		k.contradicts(bad, "id2label", "id %q among %d labels", key, n)
		if bad {
			return
		}
		out[i], seen[i] = v, true
	}
	f.labels = out
}

// label sets what Info says of labels, for a class that has some.
func (f *labelFields) label(in *Info, c classed) {
	if !c.is(HeadSequence) && !c.is(HeadToken) {
		return
	}
	in.Labels = f.labels
	if f.ProblemType != nil && c.is(HeadSequence) {
		in.MultiLabel = *f.ProblemType == "multi_label_classification"
		in.Regression = *f.ProblemType == "regression"
	}
}
