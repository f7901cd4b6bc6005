package template

// This file declares the syntax tree: statements, expressions and assignment
// targets. It is immutable once parsed, so that many goroutines may walk it.

// stmt is a statement.
type stmt interface{ isStmt() }

// expr is an expression.
type expr interface{ isExpr() }

type (
	// textStmt is text between tags.
	textStmt struct{ text *str }
	// printStmt is {{ x }}.
	printStmt struct {
		line int
		x    expr
	}
	// ifStmt is if, its elifs and else: the first true test wins.
	ifStmt struct {
		tests  []expr
		bodies [][]stmt
		orElse []stmt
	}
	// forStmt is a loop; when filters the elements before the loop counts them.
	forStmt struct {
		line      int
		target    target
		seq, when expr
		recursive bool
		body      []stmt
		orElse    []stmt
	}
	// setStmt is {% set target = x %}.
	setStmt struct {
		line   int
		target target
		x      expr
	}
	// setBlockStmt is {% set target | filter %} … {% endset %}; filter may be nil.
	setBlockStmt struct {
		line   int
		target target
		filter expr
		body   []stmt
	}
	// filterStmt is {% filter f %} … {% endfilter %}.
	filterStmt struct {
		line   int
		filter expr
		body   []stmt
	}
	// macroStmt defines a macro, or the body of a call block.
	macroStmt struct {
		line                    int
		name                    string
		params                  []string
		defaults                []expr // of the last params
		body                    []stmt
		caller, varargs, kwargs bool // the body uses these names
	}
	// callStmt is {% call(params) f(args) %} … {% endcall %}.
	callStmt struct {
		line   int
		call   *callExpr
		caller *macroStmt
	}
	// withStmt is {% with a = x %} … {% endwith %}.
	withStmt struct {
		line    int
		targets []target
		values  []expr
		body    []stmt
	}
	// scopeStmt is {% generation %} … {% endgeneration %}: its body in a scope.
	scopeStmt struct{ body []stmt }
	// jumpStmt is break, or continue.
	jumpStmt struct{ ctl ctl }
)

func (*textStmt) isStmt()     {}
func (*printStmt) isStmt()    {}
func (*ifStmt) isStmt()       {}
func (*forStmt) isStmt()      {}
func (*setStmt) isStmt()      {}
func (*setBlockStmt) isStmt() {}
func (*filterStmt) isStmt()   {}
func (*macroStmt) isStmt()    {}
func (*callStmt) isStmt()     {}
func (*withStmt) isStmt()     {}
func (*scopeStmt) isStmt()    {}
func (*jumpStmt) isStmt()     {}

// target is what set, for and with assign to: a name, name.attr of a namespace
// (set only), or a tuple of targets.
type target struct {
	name, attr string
	tuple      []target // not nil: a tuple
}

// assigns tells whether name is among what t assigns to.
func (t target) assigns(name string) bool {
	for _, x := range t.tuple {
		if x.assigns(name) {
			return true
		}
	}
	return t.tuple == nil && t.name == name
}

type (
	constExpr struct{ v value }
	nameExpr  struct {
		line int
		name string
	}
	tupleExpr struct{ items []expr }
	listExpr  struct{ items []expr }
	dictExpr  struct {
		line         int
		keys, values []expr
	}
	// attrExpr is x.name.
	attrExpr struct {
		line int
		x    expr
		name string
	}
	// itemExpr is x[key].
	itemExpr struct {
		line   int
		x, key expr
	}
	// sliceExpr is x[lo:hi:step]; each may be nil.
	sliceExpr struct {
		line            int
		x, lo, hi, step expr
	}
	// argList holds the arguments of a call, filter or test.
	argList struct {
		pos      []expr
		names    []string // of kw
		kw       []expr
		star     expr // *args
		starstar expr // **kwargs
	}
	callExpr struct {
		line int
		f    expr
		args argList
	}
	// filterExpr is x | name(args); x is nil in front of a block's text.
	filterExpr struct {
		line int
		x    expr
		name string
		args argList
	}
	testExpr struct {
		line int
		x    expr
		name string
		args argList
		not  bool
	}
	// unaryExpr is -x or +x.
	unaryExpr struct {
		line int
		neg  bool
		x    expr
	}
	binaryExpr struct {
		line int
		op   string // + - * / // % **
		l, r expr
	}
	// concatExpr is a ~ b ~ c.
	concatExpr struct {
		line  int
		items []expr
	}
	// compareExpr is a < b <= c, each pair compared until one is false.
	compareExpr struct {
		line  int
		first expr
		ops   []string // == != < <= > >= in notin
		rest  []expr
	}
	// logicExpr is l and r, or l or r.
	logicExpr struct {
		and  bool
		l, r expr
	}
	notExpr struct{ x expr }
	// condExpr is yes if test else no; no may be nil.
	condExpr struct{ test, yes, no expr }
)

func (*constExpr) isExpr()   {}
func (*nameExpr) isExpr()    {}
func (*tupleExpr) isExpr()   {}
func (*listExpr) isExpr()    {}
func (*dictExpr) isExpr()    {}
func (*attrExpr) isExpr()    {}
func (*itemExpr) isExpr()    {}
func (*sliceExpr) isExpr()   {}
func (*callExpr) isExpr()    {}
func (*filterExpr) isExpr()  {}
func (*testExpr) isExpr()    {}
func (*unaryExpr) isExpr()   {}
func (*binaryExpr) isExpr()  {}
func (*concatExpr) isExpr()  {}
func (*compareExpr) isExpr() {}
func (*logicExpr) isExpr()   {}
func (*notExpr) isExpr()     {}
func (*condExpr) isExpr()    {}
